//! A bridge that is kept as `veth attach` keeps it, for as long as it is measured.

use std::{
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use veth_common::Vlan;

use super::BenchError;
use crate::{
    datapath::Hook,
    netlink::{Netlink, NetlinkError},
    netns::Netns,
    stop::Stop,
    sync::{Agent, HookPolicy, Keeping, SyncError, observe_bridge},
    topology::FabricName,
    view::{Bypass, Bypasses},
};

/// How often to see whether it is time to stop.
const LOOK: Duration = Duration::from_millis(50);

/// An agent at work in a thread of its own, until dropped.
pub(super) struct Kept {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Kept {
    /// Attaches to the bridge of `fabric` in `hub`, after telling it where its stations are, and
    /// returns when the fast path serves them.
    pub(super) fn start(
        hub: Netns,
        fabric: &FabricName,
        hook: Hook,
        stop: &Stop,
    ) -> Result<Self, BenchError> {
        hub.run(|| introduce(fabric))??;
        let (ready, is_ready) = mpsc::channel();
        let stop = stop.child();
        let thread = thread::spawn({
            let (fabric, stop) = (fabric.clone(), stop.clone());
            move || {
                let failed = ready.clone();
                let kept = hub.run(|| keep(&fabric, hook, &stop, &ready));
                if let Some(error) = kept.map_or_else(|error| Some(error.into()), Result::err) {
                    // Nobody listens any more once it has begun.
                    let _ = failed.send(Err(error));
                }
            }
        });
        let kept = Self { stop, thread: Some(thread) };
        match is_ready.recv() {
            Ok(Ok(())) => Ok(kept),
            Ok(Err(error)) => Err(error),
            Err(mpsc::RecvError) => Err(SyncError::Interrupted.into()),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stop.request();
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Has the bridge know the peers, as if each had sent a frame.
fn introduce(fabric: &FabricName) -> Result<(), NetlinkError> {
    let mut netlink = Netlink::open()?;
    let view = observe_bridge(&mut netlink, fabric.as_str())?;
    for port in view.iter().flat_map(|view| &view.ports) {
        if let Some(mac) = port.peer.as_ref().and_then(|peer| peer.mac) {
            netlink.refresh_station(port.link.ifindex, mac, Vlan::NONE)?;
        }
    }
    Ok(())
}

fn keep(
    fabric: &FabricName,
    hook: Hook,
    stop: &Stop,
    ready: &mpsc::Sender<Result<(), BenchError>>,
) -> Result<(), BenchError> {
    // What a benchmark's bridge has on is there for the figures of the plain bridge.
    let keeping = Keeping::Adopted { allowed: Bypasses::from(Bypass::ALL) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(BenchError::Runtime)?;
    runtime.block_on(async {
        let (mut agent, _) = Agent::start(fabric, HookPolicy::Only(hook), keeping, stop)?;
        let _ = ready.send(Ok(()));
        while !stop.is_requested() {
            tokio::select! {
                followed = agent.next(stop, |_| {}) => drop(followed?),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        Ok(())
    })
}
