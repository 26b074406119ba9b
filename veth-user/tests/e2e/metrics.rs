//! The metrics endpoint: what it tells, for how long that holds, who may ask.

mod abuse;
mod client;
mod prometheus;
mod survival;

use nix::sys::signal::Signal;
use veth_common::Verdict;

use crate::{
    sandbox::{Run, Sandbox, Started, wait_until},
    traffic::{
        example,
        talk::{end, exchange_streams, send_datagrams},
    },
};
use client::{ADDRESS, OPEN_METRICS, Scraped, get, scrape};

/// Starts `veth ARGS`, and waits until it answers.
#[track_caller]
fn serve(sandbox: &Sandbox, arguments: &[&str]) -> Started {
    let mut served = sandbox.start(arguments);
    wait_until("the endpoint", || {
        assert!(served.is_running(), "veth {arguments:?} has ended");
        client::is_there(sandbox, ADDRESS)
    });
    served
}

/// Ends it as a service manager does.
#[track_caller]
fn end_of(served: Started) -> Run {
    served.signal(Signal::SIGTERM);
    served.wait().ok()
}

#[test]
#[ignore = "needs root"]
fn metrics_are_what_stats_says_in_both_formats() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let served = serve(&sandbox, &["metrics"]);
    let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));
    exchange_streams(&sandbox, red, blue, 1 << 20);
    send_datagrams(&sandbox, blue, red, 100, 200);
    // What two hosts still say of themselves ends at some time.
    wait_until("metrics and stats to agree", || {
        let scraped = scrape(&sandbox);
        let stats = sandbox.stats("lab");
        let agrees = |port: &&str| {
            Verdict::ALL.into_iter().all(|verdict| {
                let (frames, bytes, segments) =
                    crate::sandbox::counter_in(&stats, port, verdict.name());
                let labels = [("fabric", "lab"), ("port", port), ("verdict", verdict.name())];
                let told = |name| scraped.value(name, &labels).unwrap_or(0);
                told("veth_frames_total") == frames
                    && told("veth_bytes_total") == bytes
                    && told("veth_segments_total") == segments
            })
        };
        ["red", "blue"].iter().all(agrees)
    });
    let scraped = scrape(&sandbox);
    let redirected = [("port", "red"), ("netns", "red"), ("verdict", "redirected")];
    assert!(scraped.value("veth_frames_total", &redirected).is_some_and(|frames| frames > 0));
    assert_eq!(scraped.value("veth_stations", &[("lease", "valid")]), Some(2));
    assert_eq!(scraped.value("veth_stations", &[("lease", "expired")]), Some(0));
    for name in ["veth_fabric_read", "veth_fabric_kept", "veth_port_fast"] {
        assert_eq!(scraped.value(name, &[("fabric", "lab")]), Some(1), "{name}");
    }
    let datapath = [("datapath", "tc"), ("ownership", "managed")];
    assert_eq!(scraped.value("veth_datapath_info", &datapath), Some(1));
    let kernel = sandbox.sh("uname -r");
    assert_eq!(scraped.value("veth_build_info", &[("kernel", kernel.trim())]), Some(1));

    let text = get(&sandbox, "/metrics", "");
    assert!(text.head.contains("content-type: text/plain; version=0.0.4"), "{}", text.head);
    let open = get(&sandbox, "/metrics", OPEN_METRICS);
    assert!(open.head.contains("content-type: application/openmetrics-text"), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);
    end_of(served);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn captures_are_told_while_they_last_and_what_they_got() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let served = serve(&sandbox, &["metrics"]);
    let of = |scraped: &Scraped, name: &str| scraped.value(name, &[("fabric", "lab")]);
    let scraped = scrape(&sandbox);
    for name in ["veth_capture_active", "veth_captured_frames_total"] {
        assert_eq!(of(&scraped, name), Some(0), "{name}");
    }
    let mut log = sandbox.start(&["log", "lab", "--rate", "1"]);
    wait_until("frames to be captured, and left out", || {
        sandbox.ping("red", "10.77.0.2");
        let scraped = scrape(&sandbox);
        of(&scraped, "veth_capture_active") == Some(1)
            && of(&scraped, "veth_captured_frames_total") > Some(0)
            && of(&scraped, "veth_capture_limited_frames_total") > Some(0)
    });
    let scraped = scrape(&sandbox);
    assert_eq!(of(&scraped, "veth_capture_lost_frames_total"), Some(0));
    assert!(log.is_running());
    let run = end_of(log);
    wait_until("the capture to be over", || {
        of(&scrape(&sandbox), "veth_capture_active") == Some(0)
    });
    let told = of(&scrape(&sandbox), "veth_captured_frames_total");
    assert_eq!(told, Some(run.stdout.lines().count() as u64), "its counters stay");
    end_of(served);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn only_metrics_can_be_had_and_only_be_read() {
    let sandbox = Sandbox::new();
    let served = serve(&sandbox, &["metrics"]);
    // Without any fabric, there is still something to tell.
    assert_eq!(scrape(&sandbox).value("veth_build_info", &[]), Some(1));
    let status = |request: &str| {
        let answer = client::exchange(&sandbox, request.as_bytes());
        answer.split_whitespace().nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(status("GET / HTTP/1.1\r\nHost: veth\r\n\r\n"), "404");
    assert_eq!(status("GET /metrics?x=1 HTTP/1.0\r\n\r\n"), "200");
    assert_eq!(status("POST /metrics HTTP/1.1\r\nHost: veth\r\nContent-Length: 0\r\n\r\n"), "405");
    let head = client::exchange(&sandbox, b"HEAD /metrics HTTP/1.1\r\nHost: veth\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    end_of(served);
}

#[test]
#[ignore = "needs root"]
fn it_listens_on_loopback_unless_told_otherwise() {
    let sandbox = Sandbox::new();
    let listening = || sandbox.sh("ss -Htln | awk '{print $4}'");
    let served = serve(&sandbox, &["metrics"]);
    assert_eq!(listening(), format!("{ADDRESS}\n"));
    sandbox
        .veth(&["metrics"])
        .fails(1, "listen for metrics on 127.0.0.1:9478: Address already in use");
    let run = end_of(served);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    assert_eq!(run.stdout, "metrics are at http://127.0.0.1:9478/metrics\n");

    let served = serve(&sandbox, &["metrics", "--listen", "[::ffff:127.0.0.1]:9478"]);
    let run = end_of(served);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);

    let served = serve(&sandbox, &["metrics", "--listen", "0.0.0.0:9478"]);
    assert_eq!(listening(), "0.0.0.0:9478\n");
    let run = end_of(served);
    assert!(run.stderr.contains("warning: whoever reaches 0.0.0.0:9478"), "{}", run.stderr);
    sandbox.veth(&["metrics", "--listen", "localhost"]).fails(2, "--listen");
}

#[test]
#[ignore = "needs root"]
fn a_unit_serves_metrics_from_the_process_that_stays() {
    let sandbox = Sandbox::new();
    let unit = sandbox.veth(&["attach", "docker0", "--unit", "--metrics", ADDRESS]).ok().stdout;
    let serving: Vec<&str> = unit.lines().filter(|line| line.contains("--metrics")).collect();
    assert!(matches!(serving[..], [line] if line.starts_with("ExecStart=")), "{unit}");
    sandbox.veth(&["attach", "docker0", "--once", "--metrics", ADDRESS]).fails(2, "--once");
}

#[test]
#[ignore = "needs root"]
fn a_fabric_that_cannot_be_read_is_told_of_once() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let served = serve(&sandbox, &["metrics"]);
    let is_read =
        |scraped: &Scraped| scraped.value("veth_fabric_read", &[("fabric", "lab")]) == Some(1);
    assert!(is_read(&scrape(&sandbox)));
    sandbox.sh("ip link del lab");
    wait_until("the bridge to be missed", || !is_read(&scrape(&sandbox)));
    assert_eq!(scrape(&sandbox).value("veth_frames_total", &[]), None);
    sandbox.veth(&["up", example!("pair")]).ok();
    wait_until("the bridge to be back", || is_read(&scrape(&sandbox)));
    let run = end_of(served);
    assert_eq!(run.stderr.matches("read the metrics of lab").count(), 1, "{}", run.stderr);
    sandbox.down("lab");
}
