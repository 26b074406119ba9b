//! One end of the traffic: an address, and the namespace that has it.

use std::{net::IpAddr, thread};

use super::{
    error::{Place, TrafficError},
    worker::Worker,
};
use crate::Stop;
use crate::netns::Netns;

/// One end of the traffic.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// `None` is the caller's own namespace.
    netns: Option<&'a Netns>,
    address: IpAddr,
}

impl<'a> Endpoint<'a> {
    /// The end with `address` in `netns`.
    pub fn new(netns: &'a Netns, address: impl Into<IpAddr>) -> Self {
        Self { netns: Some(netns), address: address.into() }
    }

    /// The end with `address` in the caller's own namespace.
    pub fn here(address: impl Into<IpAddr>) -> Self {
        Self { netns: None, address: address.into() }
    }

    /// The address that it sends from and listens on.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) fn place(&self) -> Place {
        self.netns.map_or(Place::Here, |netns| Place::Netns(netns.name().to_owned()))
    }

    /// Runs `work` in the namespace, and waits for it.
    pub(super) fn run<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, TrafficError> + Send,
    ) -> Result<T, TrafficError> {
        match self.netns {
            Some(netns) => netns.run(work)?,
            None => work(),
        }
    }

    /// Starts `work` in the namespace; `end` is what tells it to end.
    pub(super) fn start<T: Send + 'static>(
        &self,
        end: &Stop,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Worker<T>, TrafficError> {
        let thread = match self.netns {
            Some(netns) => netns.spawn(work)?,
            None => thread::Builder::new()
                .name("traffic".into())
                .spawn(move || Ok(work()))
                .map_err(|source| TrafficError::Thread { source })?,
        };
        Ok(Worker::new(thread, end.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns;
    use std::{convert::Infallible, fs, net::Ipv4Addr, os::unix::fs::MetadataExt as _, process};

    /// Removes the name of a namespace however the test ends.
    struct Removal(String);

    impl Drop for Removal {
        fn drop(&mut self) {
            let _ = netns::remove(&self.0);
        }
    }

    #[test]
    #[ignore = "needs root"]
    fn work_runs_inside_the_namespace() {
        let name = format!("vt-{}-a", process::id());
        let _removal = Removal(name.clone());
        let Ok((netns, ())) = Netns::create(&name, "veth test", || Ok::<_, Infallible>(()))
            .expect("a namespace can be made");
        let current = || fs::metadata("/proc/thread-self/ns/net").expect("own namespace").ino();
        let (outside, inside) = (current(), netns.inode().expect("the namespace's inode"));
        assert_ne!(inside, outside);

        let endpoint = Endpoint::new(&netns, Ipv4Addr::LOCALHOST);
        assert_eq!(endpoint.run(|| Ok(current())).expect("enter"), inside);
        let worker = endpoint.start(&Stop::new(), current).expect("start");
        assert_eq!(worker.finish().expect("enter"), inside);
        assert_eq!(current(), outside);

        assert_eq!(
            Endpoint::here(Ipv4Addr::LOCALHOST).run(|| Ok(current())).expect("run"),
            outside
        );
        assert_eq!(endpoint.place(), Place::Netns(name));
    }
}
