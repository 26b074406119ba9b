//! `veth capture`

mod destination;

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, ErrorKind, Write},
    net::IpAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use veth_common::{CAPTURE_SNAPLEN_MAX, CaptureRule, CaptureTally, Ifindex, Mac, Verdict};

use destination::Destination;

use super::{
    frames::{Frames, Ports, Sink, bits, tell_missed},
    outlet::Outlet,
    session::{Session, WrongArgument, is_terminal, print_json, say},
    target::only_fabric,
};
use crate::{
    capture::{
        Captured, FileStatistics, Filter, HEADERS_BYTES, Headers, Interface, PacketBlock, Pcapng,
        Protocol,
    },
    datapath::realtime,
};

/// Options of `capture`.
#[derive(Debug, Args)]
pub struct CaptureOptions {
    /// Name of a fabric; may be left out when there is only one.
    pub name: Option<String>,
    /// File to write, or - for stdout.
    #[arg(short, long, value_name = "FILE")]
    pub write: PathBuf,
    /// Only frames that arrive on this port.
    #[arg(long)]
    pub port: Option<String>,
    /// Only frames with this verdict; may be given several times.
    #[arg(long, value_parser = verdict)]
    pub verdict: Vec<Verdict>,
    /// Only frames that are handed to the peer of this port.
    #[arg(long, value_name = "PORT")]
    pub peer: Option<String>,
    /// Only frames from or to this MAC address.
    #[arg(long)]
    pub mac: Option<Mac>,
    /// Only frames from or to this IP address.
    #[arg(long, value_name = "IP")]
    pub host: Option<IpAddr>,
    /// Only this protocol: tcp, udp, icmp, icmp6, igmp, sctp, arp, lldp, or a number above IP.
    #[arg(long, value_parser = protocol)]
    pub proto: Option<Protocol>,
    /// Only from or to this port of TCP, UDP or SCTP.
    #[arg(long, value_name = "N")]
    pub l4_port: Option<u16>,
    /// Only from this port of TCP, UDP or SCTP.
    #[arg(long, value_name = "N")]
    pub sport: Option<u16>,
    /// Only to this port of TCP, UDP or SCTP.
    #[arg(long, value_name = "N")]
    pub dport: Option<u16>,
    /// Stop after so many frames.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Keep only the first N bytes of each frame.
    #[arg(long, value_name = "N", default_value_t = CAPTURE_SNAPLEN_MAX,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(CAPTURE_SNAPLEN_MAX)))]
    pub snaplen: u32,
    /// Only one frame of N, before --mac, --host, --proto, --l4-port, --sport and --dport.
    #[arg(long, value_name = "1/N", default_value = "1/1", value_parser = sample)]
    pub sample: u32,
}

pub(super) fn verdict(text: &str) -> Result<Verdict, String> {
    let names = || Verdict::ALL.map(Verdict::name).join(", ");
    Verdict::from_name(text).ok_or_else(|| format!("is none of {}", names()))
}

fn protocol(text: &str) -> Result<Protocol, String> {
    let names = || Protocol::names().collect::<Vec<_>>().join(", ");
    Protocol::from_name(text).ok_or_else(|| format!("is no number, and none of {}", names()))
}

fn sample(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix("1/").and_then(|number| number.parse().ok());
    number.filter(|number| *number > 0).ok_or_else(|| "must be 1/N, as 1/100".into())
}

/// What a capture has and has not, as it is told at the end.
#[derive(Serialize)]
struct Summary {
    fabric: String,
    written: u64,
    matched: u64,
    lost: u64,
}

pub(super) fn run(session: &Session, options: &CaptureOptions) -> Result<()> {
    let to_stdout = options.write == Path::new("-");
    if to_stdout && is_terminal() {
        let text = "a capture is nothing for a terminal: `-w FILE`, or `-w - | tcpdump -n -r -`";
        return Err(WrongArgument(text.into()).into());
    }
    let name = only_fabric(options.name.as_deref())?;
    let mut ports = Ports::of(&name)?;
    let filter = Filter {
        mac: options.mac,
        host: options.host,
        protocol: options.proto,
        port: options.l4_port,
        source_port: options.sport,
        destination_port: options.dport,
    };
    let headers_bytes = if filter.is_empty() { 0 } else { HEADERS_BYTES };
    let rule = CaptureRule {
        verdicts: bits(&options.verdict),
        snaplen_bytes: options.snaplen.max(headers_bytes),
        sample: options.sample,
        port: ports.find(options.port.as_deref())?,
        peer: ports.find(options.peer.as_deref())?,
        ..CaptureRule::OFF
    };
    let destination = if to_stdout {
        Destination::stdout()?
    } else {
        Destination::open(&options.write, session)?
    };
    let mut frames = match Frames::begin(&name, rule) {
        Ok(frames) => frames,
        Err(error) => {
            destination.abandon();
            return Err(error);
        }
    };
    let mut file = CaptureFile {
        name: destination.name(),
        out: BufWriter::new(Outlet::new(destination.begin()?, session.stop.clone())),
        interfaces: BTreeMap::new(),
        filter,
        snaplen_bytes: options.snaplen,
        wanted: options.count.unwrap_or(u64::MAX),
        written: 0,
    };
    let result = file.begin(&mut ports).and_then(|()| {
        say(&format!("capturing fabric {name}; Ctrl-C ends it"));
        frames.follow(session, &mut ports, &mut file)
    });
    let missed = frames.missed();
    let tally = frames.tally()?;
    let result = result.and_then(|()| file.end(&tally));
    let CaptureTally { matched, lost, .. } = tally;
    let written = file.written;
    if session.json && !to_stdout {
        print_json(&Summary { fabric: name.to_string(), written, matched, lost })?;
    } else {
        // What was on its way to a file that cannot be written is not in it.
        let most = if result.is_ok() { "" } else { "at most " };
        say(&format!("{most}{written} frames written, {lost} lost for want of room"));
    }
    if lost > 0 && !file.filter.is_empty() {
        say(
            "nobody knows whether those that were lost are frames that --mac, --host, --proto and ports \
             leave in: they are looked at later",
        );
    }
    tell_missed(missed);
    match result {
        // Whoever reads has seen enough.
        Err(error) if to_stdout && is_broken_pipe(&error) => Ok(()),
        result => result,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// The file in the making.
struct CaptureFile {
    out: BufWriter<Outlet<OwnedFd>>,
    /// What it is called.
    name: String,
    /// Numbers of the interfaces that it has.
    interfaces: BTreeMap<Ifindex, u32>,
    filter: Filter,
    snaplen_bytes: u32,
    wanted: u64,
    written: u64,
}

impl CaptureFile {
    /// Writes the section, and an interface for each port there is.
    fn begin(&mut self, ports: &mut Ports) -> Result<()> {
        self.put(&Pcapng::section(concat!("veth ", env!("CARGO_PKG_VERSION"))))?;
        for port in ports.all() {
            self.interface(port, ports)?;
        }
        self.pause()
    }

    /// The number of the interface of `port`, which is described when it comes up first.
    fn interface(&mut self, port: Ifindex, ports: &mut Ports) -> Result<u32> {
        if let Some(number) = self.interfaces.get(&port) {
            return Ok(*number);
        }
        let number = u32::try_from(self.interfaces.len()).context("number an interface")?;
        let netns = ports.netns(port);
        let description = Pcapng::description(ports.fabric().as_str(), netns.as_deref());
        let name = ports.name(port);
        let snaplen_bytes = self.snaplen_bytes;
        let interface = Interface { name: &name, description: &description, snaplen_bytes };
        self.put(&Pcapng::interface(interface))?;
        self.interfaces.insert(port, number);
        Ok(number)
    }

    fn end(&mut self, tally: &CaptureTally) -> Result<()> {
        // Statistics are told of an interface.
        if !self.interfaces.is_empty() {
            self.put(&Pcapng::statistics(FileStatistics {
                time: realtime(),
                received: tally.matched,
                lost: tally.lost,
                written: self.written,
            }))?;
        }
        self.pause()
    }

    fn put(&mut self, block: &[u8]) -> Result<()> {
        self.out.write_all(block).with_context(|| format!("write {}", self.name))
    }
}

impl Sink for CaptureFile {
    fn frame(&mut self, frame: &Captured, time: Duration, ports: &mut Ports) -> Result<bool> {
        if !self.filter.is_empty() && !self.filter.takes(&Headers::of(&frame.bytes)) {
            return Ok(true);
        }
        let interface = self.interface(frame.ingress, ports)?;
        let target = frame.target.map(|target| ports.name(target));
        let snaplen = usize::try_from(self.snaplen_bytes).unwrap_or(usize::MAX);
        let bytes = &frame.bytes[..frame.bytes.len().min(snaplen)];
        self.put(&Pcapng::packet(PacketBlock {
            interface,
            time,
            len_bytes: frame.len_bytes,
            bytes,
            verdict: frame.verdict,
            target: target.as_deref(),
            segments: frame.gso_segments,
            segment_bytes: frame.gso_size_bytes,
        }))?;
        self.written += 1;
        Ok(self.written < self.wanted)
    }

    fn pause(&mut self) -> Result<()> {
        self.out.flush().with_context(|| format!("write {}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read() {
        assert_eq!(sample("1/100"), Ok(100));
        assert!(["1/0", "2/3", "1/x", "100"].into_iter().all(|text| sample(text).is_err()));
    }
}
