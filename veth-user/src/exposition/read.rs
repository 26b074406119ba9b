//! Reading what is told: one pass over the fabrics.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use veth_common::{Ifindex, PortFlags};

use super::Feed;
use crate::{
    counters::Dropped,
    datapath::{self, CaptureStatus, CounterMap},
    fabric::{self, FabricError},
    machine,
    metrics::{CaptureReading, FabricReading, FabricSample, PortReading, Sample, Stations},
    netlink::Netlink,
    sync::{Keeping, SyncError, now_ns},
    topology::FabricName,
};

/// What is read before any fabric is; no fabric has such a name.
const LIST: &str = "the list of fabrics";

/// Takes samples.
pub struct Source {
    /// The fabric that is told of; all of them without.
    only: Option<FabricName>,
    agent: Option<Feed>,
    kernel: String,
    complain: fn(&str),
    /// What was complained about last, by fabric: an error that stays is told once.
    told: BTreeMap<String, String>,
}

impl Source {
    /// Samples of `only` that fabric, or of all. What cannot be read is handed to `complain`.
    pub fn new(only: Option<FabricName>, agent: Option<Feed>, complain: fn(&str)) -> Self {
        let kernel = machine::facts().kernel;
        Self { only, agent, kernel, complain, told: BTreeMap::new() }
    }

    /// Reads everything.
    pub fn sample(&mut self) -> Sample {
        let started = Instant::now();
        let fabrics = match &self.only {
            Some(only) => Ok(vec![only.clone()]),
            None => fabric::list_counted(),
        };
        self.note(LIST, fabrics.as_ref().err());
        let fabrics: Vec<FabricSample> = fabrics
            .unwrap_or_default()
            .iter()
            .map(|fabric| {
                let reading = read(fabric);
                self.note(fabric.as_str(), reading.as_ref().err());
                FabricSample { fabric: fabric.to_string(), reading: reading.ok() }
            })
            .collect();
        // What is gone is not held against whoever takes its name.
        self.told.retain(|what, _| what == LIST || fabrics.iter().any(|it| it.fabric == *what));
        Sample {
            version: env!("CARGO_PKG_VERSION"),
            object: datapath::release_text(datapath::RELEASE),
            kernel: self.kernel.clone(),
            took: started.elapsed(),
            fabrics,
            agent: self.agent.as_ref().map(Feed::sample),
        }
    }

    fn note(&mut self, what: &str, error: Option<&FabricError>) {
        let Some(error) = error else {
            self.told.remove(what);
            return;
        };
        let text = error.to_string();
        if self.told.get(what) != Some(&text) {
            (self.complain)(&format!("read the metrics of {what}: {text}"));
            self.told.insert(what.to_owned(), text);
        }
    }
}

fn read(fabric: &FabricName) -> Result<FabricReading, FabricError> {
    let name = fabric.as_str();
    let absent = || SyncError::Absent(fabric.to_string());
    let (Some(counters), Some(meta)) = (CounterMap::open(name)?, datapath::read_meta(name)?) else {
        return Err(absent().into());
    };
    let mut host = Netlink::open()?;
    let before = datapath::pinned_ports(name)?;
    let present = fabric::counted_ports(&mut host, fabric)?;
    let devices: HashMap<_, _> = host.statistics_of_all()?.into_iter().collect();
    let mut ports = Vec::with_capacity(present.len());
    for port in present {
        let Some(entry) = before.get(&port.ifindex).filter(|entry| entry.slot == port.slot) else {
            continue;
        };
        let device = devices.get(&port.ifindex);
        let dropped = device
            .map(|device| Dropped { arriving: device.rx.dropped, leaving: device.tx.dropped });
        let reading = PortReading {
            name: port.name,
            netns: port.netns,
            ifindex: port.ifindex.0,
            is_fast: entry.flags.contains(PortFlags::ELIGIBLE),
            counters: counters.read(port.slot)?,
            dropped: dropped.unwrap_or_default(),
        };
        ports.push((port.slot, reading));
    }
    // A place changes hands like this: the port goes from the map, its counters start anew, the
    // next one enters. So counters are of the port that had the place before and after.
    let after = datapath::pinned_ports(name)?;
    ports.retain(|(slot, port)| {
        after.get(&Ifindex(port.ifindex)).is_some_and(|entry| entry.slot == *slot)
    });
    let now_ns = now_ns();
    let leases = datapath::pinned_leases(name)?;
    let valid = leases.iter().filter(|lease| lease.is_valid_at(now_ns)).count();
    Ok(FabricReading {
        datapath: datapath::pinned_path(name).map_or("none", crate::forwarding::FastPath::name),
        ownership: match Keeping::of(&meta) {
            Keeping::Managed => "managed",
            Keeping::Adopted { .. } => "adopted",
        },
        release: datapath::release_text(meta.release),
        stations: Stations { valid, expired: leases.len() - valid },
        capture: CaptureStatus::read(name)?.map(|CaptureStatus { is_active, tally }| {
            CaptureReading {
                is_active,
                captured: tally.captured,
                lost: tally.lost,
                limited: tally.limited,
            }
        }),
        ports: ports.into_iter().map(|(_, port)| port).collect(),
    })
}
