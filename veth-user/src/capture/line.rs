//! One frame on one line, as `veth log` prints it, and as JSON.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{Captured, Headers};

/// What is told of a frame.
#[derive(Clone, Debug, Serialize)]
pub struct FrameLine {
    /// Nanoseconds since 1970, UTC.
    pub time_ns: u64,
    /// The port that it arrived on.
    pub port: String,
    /// What became of it.
    pub verdict: &'static str,
    /// The port whose peer it was handed to.
    pub target: Option<String>,
    /// Its protocol.
    pub protocol: Option<String>,
    /// Whence: address, or MAC address where there is no other.
    pub source: Option<String>,
    /// Source port.
    pub source_port: Option<u16>,
    /// Whither.
    pub destination: Option<String>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// Length in bytes.
    pub bytes: u32,
    /// Segments that it is going to be; zero for an ordinary frame.
    pub segments: u32,
}

impl FrameLine {
    /// What is told of `frame`, seen at `time` since 1970, between ports of these names.
    pub fn of(frame: &Captured, time: Duration, port: String, target: Option<String>) -> Self {
        let headers = Headers::of(&frame.bytes);
        let macs = || headers.macs.map(|macs| macs.map(|mac| mac.to_string()));
        let addresses = headers.addresses.map(|both| both.map(|it| it.to_string()));
        let [source, destination] = addresses.or_else(macs).map_or([None, None], |it| it.map(Some));
        Self {
            time_ns: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            port,
            verdict: frame.verdict.name(),
            target,
            protocol: headers.protocol.map(super::Protocol::name),
            source,
            source_port: headers.ports.map(|[source, _]| source),
            destination,
            destination_port: headers.ports.map(|[_, destination]| destination),
            bytes: frame.len_bytes,
            segments: frame.gso_segments,
        }
    }
}

impl fmt::Display for FrameLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = time_of_day(Duration::from_nanos(self.time_ns));
        write!(f, "{time} {} {}", self.port, self.verdict)?;
        if let Some(target) = &self.target {
            write!(f, " -> {target}")?;
        }
        if let Some(protocol) = &self.protocol {
            write!(f, " {protocol}")?;
        }
        if let (Some(source), Some(destination)) = (&self.source, &self.destination) {
            let port = |port: Option<u16>| port.map_or(String::new(), |it| format!(" port {it}"));
            write!(f, " {source}{}", port(self.source_port))?;
            write!(f, " > {destination}{}", port(self.destination_port))?;
        }
        write!(f, " {} bytes", self.bytes)?;
        if self.segments > 1 {
            write!(f, " in {} segments", self.segments)?;
        }
        Ok(())
    }
}

/// The time of day in UTC of a time since 1970, in microseconds.
pub fn time_of_day(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs() % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:06}Z", seconds % 60, since_1970.subsec_micros())
}

#[cfg(test)]
mod tests {
    use veth_common::{Ifindex, Verdict};

    use super::{super::headers::tests::udp_frame, *};

    #[test]
    fn a_frame_is_told_on_one_line() {
        let bytes = udp_frame();
        let frame = Captured {
            time_ns: 0,
            session: 0,
            ingress: Ifindex(1),
            target: Some(Ifindex(2)),
            verdict: Verdict::Redirected,
            len_bytes: 62,
            bytes,
            gso_segments: 0,
            gso_size_bytes: 0,
        };
        let time = Duration::new(86_400 + 3_723, 4_000);
        let line = FrameLine::of(&frame, time, "red".into(), Some("blue".into())).to_string();
        let wanted = "01:02:03.000004Z red redirected -> blue udp 10.77.0.1 port 1024 > 10.77.0.2 \
                      port 53 62 bytes";
        assert_eq!(line, wanted);

        let arp = Captured { bytes: vec![0xff; 12], target: None, ..frame };
        let line = FrameLine::of(&arp, time, "red".into(), None).to_string();
        assert!(line.ends_with("ff:ff:ff:ff:ff:ff > ff:ff:ff:ff:ff:ff 62 bytes"), "{line}");
    }
}
