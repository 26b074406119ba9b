//! `veth stats`

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use terminal_size::{Height, Width, terminal_size};
use veth_common::{PortCounters, PortSlot};

use super::{
    arguments::StatsOptions,
    session::{Session, is_terminal, print, print_json},
    target::only_fabric,
};
use crate::{
    counters::{Dropped, PortRates, PortSample, Snapshot, rates},
    datapath::{self, CounterMap},
    fabric::{self, CountedPort},
    forwarding::FastPath,
    netlink::Netlink,
    report,
    topology::FabricName,
};

pub(super) fn run(session: &Session, options: &StatsOptions) -> Result<()> {
    let name = only_fabric(options.name.as_deref())?;
    let mut reader = Reader::open(&name)?;
    let Some(interval) = options.watch else {
        let snapshot = reader.snapshot()?;
        return if session.json {
            print_json(&snapshot)
        } else {
            print(&report::totals_table(&snapshot))
        };
    };
    let interval = Duration::from_secs_f64(interval);
    let mut screen = Screen::default();
    let mut before = reader.snapshot()?;
    while session.sleep(interval) {
        let after = reader.snapshot()?;
        if session.json {
            print_json(&after)?;
        } else {
            screen.show(&rates_view(&rates(&before, &after)))?;
        }
        before = after;
    }
    Ok(())
}

/// Takes snapshots of a fabric's counters.
pub(super) struct Reader {
    host: Netlink,
    fabric: FabricName,
    counters: CounterMap,
    path: FastPath,
    started: Instant,
}

impl Reader {
    pub(super) fn open(fabric: &FabricName) -> Result<Self> {
        let counters = CounterMap::open(fabric.as_str())?.with_context(|| {
            format!(
                "fabric {fabric} has no datapath, so nothing is counted; \
                 `veth status` lists the fabrics"
            )
        })?;
        Ok(Self {
            host: Netlink::open()?,
            fabric: fabric.clone(),
            counters,
            path: datapath::pinned_path(fabric.as_str()).unwrap_or(FastPath::Tc),
            started: Instant::now(),
        })
    }

    pub(super) fn snapshot(&mut self) -> Result<Snapshot> {
        let mut ports = self.ports()?;
        self.count(&mut ports)
    }

    /// The ports, what their devices dropped, and where they are counted; nothing is counted yet.
    pub(super) fn ports(&mut self) -> Result<Vec<(PortSlot, PortSample)>> {
        let devices: HashMap<_, _> = self.host.statistics_of_all()?.into_iter().collect();
        let ports = fabric::counted_ports(&mut self.host, &self.fabric)?;
        let sample = |port: CountedPort| {
            let device = devices.get(&port.ifindex);
            let dropped = device
                .map(|device| Dropped { arriving: device.rx.dropped, leaving: device.tx.dropped });
            let sample = PortSample {
                dropped: dropped.unwrap_or_default(),
                counters: PortCounters::ZERO,
                name: port.name,
                ifindex: port.ifindex.0,
                netns: port.netns,
            };
            (port.slot, sample)
        };
        Ok(ports.into_iter().map(sample).collect())
    }

    /// Counts for `ports`, which may have been looked up before.
    pub(super) fn count(&self, ports: &mut [(PortSlot, PortSample)]) -> Result<Snapshot> {
        for (slot, sample) in &mut *ports {
            sample.counters = self.counters.read(*slot)?;
        }
        let ports = ports.iter().map(|(_, sample)| sample.clone()).collect();
        Ok(Snapshot {
            fabric: self.fabric.to_string(),
            datapath: self.path.name(),
            at: self.started.elapsed(),
            ports,
        })
    }
}

/// The busiest ports that fit on the screen, and how many more there are.
pub(super) fn rates_view(rates: &[PortRates]) -> String {
    /// Lines that are not ports: heading, summary, and the prompt.
    const FRAME: usize = 4;
    let room = match terminal_size() {
        Some((_, Height(lines))) if is_terminal() => {
            usize::from(lines).saturating_sub(FRAME).max(1)
        }
        _ => usize::MAX,
    };
    if rates.len() <= room {
        return report::rates_table(rates);
    }
    let mut busiest = rates.to_vec();
    busiest.sort_by(|left, right| right.frames_per_second.total_cmp(&left.frames_per_second));
    let more = busiest.len() - room;
    busiest.truncate(room);
    format!("{}and {more} ports with less\n", report::rates_table(&busiest))
}

/// How many rows of the terminal a line takes.
fn rows(line: &str) -> usize {
    let width = terminal_size().map_or(usize::MAX, |(Width(columns), _)| usize::from(columns));
    line.chars().count().div_ceil(width.max(1)).max(1)
}

/// A part of the terminal that is drawn again and again; elsewhere, text after text.
#[derive(Default)]
pub(super) struct Screen {
    lines: usize,
}

impl Screen {
    pub(super) fn show(&mut self, text: &str) -> Result<()> {
        if is_terminal() {
            let up = match self.lines {
                0 => String::new(),
                lines => format!("\x1b[{lines}A\x1b[J"),
            };
            self.lines = text.lines().map(rows).sum();
            print(&format!("{up}{text}"))
        } else {
            print(&format!("{text}\n"))
        }
    }
}
