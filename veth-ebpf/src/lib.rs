//! The datapath of veth: what runs in the kernel for every frame.
//!
//! A program is a thin entry point (`src/bin`) over this library: it reads the frame through
//! [`packet`], lets [`forward::decide`] choose one [`Verdict`](veth_common::Verdict), counts it
//! and acts on it. The decision is pure over two small traits, so the same code runs in the
//! kernel, in `BPF_PROG_TEST_RUN` fixtures and in host unit tests with a table made by hand.

#![no_std]
#![expect(
    clippy::inline_always,
    reason = "a function that the compiler leaves out of line is a call in the program: it costs \
              stack, and the verifier loses the packet bounds that were checked before it"
)]

#[cfg(test)]
extern crate std;

pub mod bench;
pub mod capture;
pub mod forward;
pub mod header;
pub mod maps;
pub mod packet;
pub mod pairs;
pub mod skb;
pub mod tables;
pub mod xdp;
