//! Workloads: what is sent over a path, and what is measured of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What is sent over a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// One TCP stream, as fast as it goes.
    TcpStream,
    /// One byte there and one back, over one TCP connection.
    TcpRr,
    /// Connect, one byte there and one back, close.
    TcpCrr,
    /// One datagram there and one back.
    UdpRr,
    /// Datagrams one way, with `sendmmsg`.
    UdpPps,
    /// Round trips of datagrams while a TCP stream fills the path.
    LatencyLoad,
    /// Frames of the kernel's own making, counted by a tc program at the far end.
    Frames,
    /// The same, counted by an XDP program at the far end.
    FramesXdp,
}

/// What a figure of a workload is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Payload bits per second.
    BitsPerSecond,
    /// Requests with their answers per second.
    TransactionsPerSecond,
    /// Connections per second.
    ConnectionsPerSecond,
    /// Datagrams or frames that arrived, per second.
    PacketsPerSecond,
    /// Nanoseconds.
    Nanoseconds,
}

impl Unit {
    /// How people write it, after a number that has its prefix (k, M, G; for time n, µ, m).
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::BitsPerSecond => "bit/s",
            Self::TransactionsPerSecond => "trans/s",
            Self::ConnectionsPerSecond => "conn/s",
            Self::PacketsPerSecond => "pps",
            Self::Nanoseconds => "s",
        }
    }
}

impl Workload {
    /// All workloads, in the order in which they are run and shown.
    pub const ALL: [Self; 8] = [
        Self::TcpStream,
        Self::TcpRr,
        Self::TcpCrr,
        Self::UdpRr,
        Self::UdpPps,
        Self::LatencyLoad,
        Self::Frames,
        Self::FramesXdp,
    ];

    /// Name on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TcpStream => "tcp_stream",
            Self::TcpRr => "tcp_rr",
            Self::TcpCrr => "tcp_crr",
            Self::UdpRr => "udp_rr",
            Self::UdpPps => "udp_pps",
            Self::LatencyLoad => "latency_load",
            Self::Frames => "frames",
            Self::FramesXdp => "frames_xdp",
        }
    }

    /// One sentence for the person who reads the figures.
    pub const fn help(self) -> &'static str {
        match self {
            Self::TcpStream => "One TCP stream; payload that arrived.",
            Self::TcpRr => "One byte there and one back over a TCP connection.",
            Self::TcpCrr => "Connect, one byte there and one back, close.",
            Self::UdpRr => "One datagram of one byte there and one back.",
            Self::UdpPps => "Datagrams one way (sendmmsg); those that arrived.",
            Self::LatencyLoad => "99th percentile of UDP round trips while a TCP stream runs.",
            Self::Frames => "Frames made in the kernel, dropped and counted by tc at the far end.",
            Self::FramesXdp => {
                "Frames made in the kernel, dropped and counted by XDP at the far end."
            }
        }
    }

    /// What its figure is counted in.
    pub const fn unit(self) -> Unit {
        match self {
            Self::TcpStream => Unit::BitsPerSecond,
            Self::TcpRr | Self::UdpRr => Unit::TransactionsPerSecond,
            Self::TcpCrr => Unit::ConnectionsPerSecond,
            Self::UdpPps | Self::Frames | Self::FramesXdp => Unit::PacketsPerSecond,
            Self::LatencyLoad => Unit::Nanoseconds,
        }
    }

    /// Whether a smaller figure is the better one.
    pub const fn is_less_better(self) -> bool {
        matches!(self, Self::LatencyLoad)
    }

    /// Whether the frames are made by an XDP program and not by a socket.
    pub const fn is_in_kernel(self) -> bool {
        matches!(self, Self::Frames | Self::FramesXdp)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|workload| workload.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no workload {text}; there are {names}")
        })
    }
}
