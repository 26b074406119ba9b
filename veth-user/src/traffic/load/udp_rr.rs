//! One datagram there and one back, over and over.

use std::time::{Duration, Instant};

use super::{
    Edges, Ends, LoadOptions, Measured,
    crew::Crew,
    udp_pair::{UdpEnd, UdpPair},
    window::{Served, Window},
};
use crate::{Stop, traffic::error::TrafficError};

/// When an answer counts as lost. Between namespaces of one machine this is an age, but an end may
/// have to wait for its CPU.
const PATIENCE: Duration = Duration::from_millis(200);

/// What the client sends last.
const FAREWELL: [u8; 0] = [];

/// Sends a datagram of one byte from client to server and awaits its return, over and over, and
/// times each round trip. One that is not back within 200 ms counts as lost. A stop ends it early,
/// with what was counted by then.
///
/// # Errors
///
/// When a namespace cannot be entered, a thread not be started or pinned, nothing gets through
/// within seconds, or a socket fails.
#[doc(alias = "netperf")]
pub fn udp_rr(
    ends: &Ends<'_>,
    options: &LoadOptions,
    edges: Edges<'_>,
    stop: &Stop,
) -> Result<Measured, TrafficError> {
    let Some(UdpPair { client, server }) = UdpPair::open(ends, stop)? else {
        return Ok(Measured::default());
    };
    let crew = Crew::default();
    let workers = [
        crew.start(ends.server, ends.server_cpu, move |window| answer(&server, window))?,
        crew.start(ends.client, ends.client_cpu, move |window| ask(&client, window))?,
    ];
    crew.measure(workers, options, edges, stop)
}

/// Makes round trips till the window closes, and times them.
pub(super) fn ask(end: &UdpEnd, window: &Window) -> Result<Measured, TrafficError> {
    // One round trip ends where the next begins, so one look at the clock does for both.
    let mut began_at = Instant::now();
    let mut number = 0;
    let measured = window.count(Measured::with_latency, |measured| {
        number = u8::wrapping_add(number, 1);
        end.send(&[number])?;
        let returned = await_return(end, number, began_at, window)?;
        let ended_at = Instant::now();
        if returned {
            measured.record(ended_at - began_at);
        } else {
            measured.lost += 1;
        }
        began_at = ended_at;
        Ok(())
    })?;
    // The end that answers is waiting for another one. If this is lost, it waits a little longer.
    let _ = end.send(&FAREWELL);
    Ok(measured)
}

/// Whether the datagram with this `number` came back.
fn await_return(
    end: &UdpEnd,
    number: u8,
    began_at: Instant,
    window: &Window,
) -> Result<bool, TrafficError> {
    let mut byte = [0];
    loop {
        match end.receive(&mut byte)? {
            Some(_) if byte == [number] => return Ok(true),
            None if window.is_closed() || began_at.elapsed() >= PATIENCE => return Ok(false),
            // Not yet; or the answer to an earlier one, which is counted as lost already.
            None | Some(_) => {}
        }
    }
}

/// Returns what comes till the other end says farewell, or falls silent after the window closed:
/// what was asked before it closed is answered, and nobody waits in vain for it.
pub(super) fn answer(end: &UdpEnd, window: &Window) -> Result<Measured, TrafficError> {
    let mut byte = [0];
    window.serve_to_the_end(|| match end.receive(&mut byte)? {
        Some(length) if length == FAREWELL.len() => Ok(Served::Everything),
        // An answer that cannot be sent is a lost one, and the client counts those.
        Some(_) => end.send(&byte).map(|_| Served::Something),
        None => Ok(Served::Nothing),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Endpoint;
    use std::net::Ipv4Addr;

    fn pair() -> UdpPair {
        let here = Endpoint::here(Ipv4Addr::LOCALHOST);
        let ends = Ends { client: here, server: here, client_cpu: 0, server_cpu: 0 };
        UdpPair::open(&ends, &Stop::new()).expect("loopback carries it").expect("not stopped")
    }

    #[test]
    fn late_answer_is_not_taken_for_the_next_one() {
        let (UdpPair { client, server }, window) = (pair(), Window::default());
        let is_returned =
            |number| await_return(&client, number, Instant::now(), &window).expect("no failure");
        client.send(&[1]).expect("send");
        assert!(!is_returned(1));
        server.send(&[1]).expect("send");
        client.send(&[2]).expect("send");
        assert!(!is_returned(2));
        server.send(&[3]).expect("send");
        assert!(is_returned(3));
    }

    #[test]
    fn unanswered_datagrams_are_lost_and_not_waited_for_once_closed() {
        let (UdpPair { client, server: _silent }, window) = (pair(), Window::default());
        window.closed().request();
        let returned = await_return(&client, 1, Instant::now(), &window);
        assert!(!returned.expect("a loss is no failure"));
    }

    #[test]
    fn answer_comes_back_as_it_was() {
        let (UdpPair { client, server }, window) = (pair(), Window::default());
        std::thread::scope(|scope| {
            scope.spawn(|| answer(&server, &window));
            client.send(&[77]).expect("send");
            let returned = await_return(&client, 77, Instant::now(), &window);
            window.closed().request();
            assert!(returned.expect("no failure"));
        });
    }
}
