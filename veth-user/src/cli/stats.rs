//! `veth stats`

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use terminal_size::{Height, Width, terminal_size};
use veth_common::{Counter, Ifindex, Pair, PortCounters, PortEntry, PortSlot};

use super::{
    arguments::StatsOptions,
    session::{Session, is_terminal, print, print_json},
    target::only_fabric,
};
use crate::{
    counters::{Dropped, PortRates, PortSample, Snapshot, rates, traffic},
    datapath::{self, CounterMap, PairMap},
    fabric::{self, CountedPort},
    forwarding::FastPath,
    netlink::Netlink,
    report,
    topology::FabricName,
};

pub(super) fn run(session: &Session, options: &StatsOptions) -> Result<()> {
    let name = only_fabric(options.name.as_deref())?;
    let mut reader = Reader::open(&name)?;
    if options.pairs {
        return run_pairs(session, &mut reader, options.watch);
    }
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

/// Shows who talks to whom: once, or again and again.
fn run_pairs(session: &Session, reader: &mut Reader, watch: Option<f64>) -> Result<()> {
    let interval = Duration::from_secs_f64(watch.unwrap_or(1.0));
    let mut screen = Screen::default();
    let mut before = reader.snapshot_with_pairs()?;
    while session.sleep(interval) {
        let after = reader.snapshot_with_pairs()?;
        if let Some(traffic) = traffic(&before, &after) {
            let table = || report::pairs_table(&traffic, lines_of_screen());
            match (session.json, watch) {
                (true, _) => print_json(&traffic)?,
                (false, Some(_)) => screen.show(&table())?,
                (false, None) => print(&table())?,
            }
        }
        if watch.is_none() {
            break;
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
    /// The datapath's ports when they were looked at, and whether it had others when they were counted.
    table: BTreeMap<Ifindex, PortEntry>,
    has_other_ports: bool,
    /// What pairs count, once that was asked for.
    pairs: Option<PairMap>,
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
            table: BTreeMap::new(),
            has_other_ports: false,
            pairs: None,
            started: Instant::now(),
        })
    }

    pub(super) fn snapshot(&mut self) -> Result<Snapshot> {
        let ports = self.ports()?;
        self.count(&ports)
    }

    /// The same, with what pairs have counted since somebody began to look at them.
    pub(super) fn snapshot_with_pairs(&mut self) -> Result<Snapshot> {
        let snapshot = self.snapshot()?;
        Ok(Snapshot { pairs: Some(self.read_pairs()?), ..snapshot })
    }

    /// What pairs have counted so far. From the first time on, the datapath counts them.
    pub(super) fn read_pairs(&mut self) -> Result<Vec<(Pair, Counter)>> {
        // Another datapath has another map.
        let fabric = self.fabric.as_str();
        let is_current =
            self.pairs.as_ref().map(|pairs| pairs.is_pinned_for(fabric)).transpose()?;
        if is_current != Some(true) {
            let begun = PairMap::begin(self.fabric.as_str())?;
            self.pairs = Some(begun.with_context(|| {
                format!("fabric {} has no datapath that counts pairs", self.fabric)
            })?);
        }
        let pairs = self.pairs.as_mut().expect("was just begun");
        Ok(pairs.read()?)
    }

    /// Looks at pairs no more; the datapath stops to count them when nobody else does.
    pub(super) fn leave_pairs(&mut self) {
        self.pairs = None;
    }

    /// The ports, and what their devices dropped; nothing is counted yet.
    pub(super) fn ports(&mut self) -> Result<Vec<PortSample>> {
        let devices: HashMap<_, _> = self.host.statistics_of_all()?.into_iter().collect();
        let present = fabric::counted_ports(&mut self.host, &self.fabric)?;
        self.table = datapath::pinned_ports(self.fabric.as_str())?;
        let sample = |port: CountedPort| {
            let device = devices.get(&port.ifindex);
            let dropped = device
                .map(|device| Dropped { arriving: device.rx.dropped, leaving: device.tx.dropped });
            PortSample {
                dropped: dropped.unwrap_or_default(),
                counters: PortCounters::ZERO,
                slot: counted_slot(&self.table, port.ifindex).filter(|slot| *slot == port.slot),
                name: port.name,
                ifindex: port.ifindex.0,
                netns: port.netns,
            }
        };
        Ok(present.into_iter().map(sample).collect())
    }

    /// Whether the datapath had other ports when they were counted last than when they were looked at.
    pub(super) const fn has_other_ports(&self) -> bool {
        self.has_other_ports
    }

    /// Counts for `ports`, which may have been looked up before. A port that is not counted, because it
    /// is new or gone, has no frames: its place may have been another port's, and still have those of that one.
    ///
    /// # Errors
    ///
    /// When the fabric has no datapath any more.
    pub(super) fn count(&mut self, ports: &[PortSample]) -> Result<Snapshot> {
        if !self.counters.is_pinned_for(self.fabric.as_str())? {
            // It was taken down, and may be up again.
            let fabric = &self.fabric;
            let is_gone = || format!("fabric {fabric} has no datapath any more");
            self.counters = CounterMap::open(fabric.as_str())?.with_context(is_gone)?;
        }
        let mut ports = ports.to_vec();
        for port in &mut ports {
            if let Some(slot) = port.slot {
                port.counters = self.counters.read(slot)?;
            }
        }
        // A place changes hands like this: the port goes from the table, its counters start anew, the next
        // one enters. So what was read is of the port that has the place afterwards.
        let table = datapath::pinned_ports(self.fabric.as_str())?;
        self.has_other_ports = table != self.table;
        for port in &mut ports {
            if port.slot != counted_slot(&table, Ifindex(port.ifindex)) {
                (port.slot, port.counters) = (None, PortCounters::ZERO);
            }
        }
        Ok(Snapshot {
            fabric: self.fabric.to_string(),
            datapath: datapath::pinned_path(self.fabric.as_str()).map_or("none", FastPath::name),
            at: self.started.elapsed(),
            ports,
            pairs: None,
        })
    }
}

/// Where frames of that device are counted, if they are.
fn counted_slot(table: &BTreeMap<Ifindex, PortEntry>, ifindex: Ifindex) -> Option<PortSlot> {
    table.get(&ifindex).map(|entry| entry.slot)
}

/// How many lines of a table fit on the screen; any number elsewhere.
fn lines_of_screen() -> usize {
    /// Lines that are not the table's own: heading, summary, and the prompt.
    const FRAME: usize = 4;
    match terminal_size() {
        Some((_, Height(lines))) if is_terminal() => {
            usize::from(lines).saturating_sub(FRAME).max(1)
        }
        _ => usize::MAX,
    }
}

/// The busiest ports that fit on the screen, and how many more there are.
pub(super) fn rates_view(rates: &[PortRates]) -> String {
    let room = lines_of_screen();
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
