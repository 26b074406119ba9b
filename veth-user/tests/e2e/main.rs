//! End-to-end tests: the real binary, the real kernel, real traffic.
//!
//! Each test has a host of its own: a network namespace and a mount namespace that nobody else
//! sees, with its own `/run/netns` and BPF file system. They need root, and say so.

mod adopt;
mod bad_input;
mod bench;
mod bypass;
mod capture;
mod chaos;
mod doctor;
mod explain;
mod kill;
mod lifecycle;
mod ls;
mod metrics;
mod pairs;
mod podman;
mod run;
mod sandbox;
mod scale;
mod scenarios;
mod sync;
mod top;
mod traffic;
mod xdp;
