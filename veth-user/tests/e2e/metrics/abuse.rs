//! Clients that mean no good, or too well; and a thousand ports.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread,
    time::Instant,
};

use super::{
    client::{self, ADDRESS, OPEN_METRICS, connect, get, scrape},
    end_of, serve,
};
use crate::{
    sandbox::{Sandbox, Started},
    traffic::example,
};

/// So many clients at once.
const CLIENTS: usize = 200;

/// More than a request may have.
const TOO_MUCH: usize = 1 << 20;

/// What all of them together may cost: 8 KiB and the tasks of 256 connections are a fraction of it.
const ROOM_KIB: u64 = 16 << 10;

/// The most memory that the process ever had.
fn peak_kib(served: &Started) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", served.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse().expect("is a number")
}

#[test]
#[ignore = "needs root"]
fn slow_clients_and_two_hundred_at_once_are_borne_in_bounded_memory() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let served = serve(&sandbox, &["metrics", "lab"]);
    scrape(&sandbox);
    let before = peak_kib(&served);

    let mut slow: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(&sandbox, ADDRESS)).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ").expect("takes the beginning");
    }
    // All of them hang, and nobody is kept waiting.
    assert_eq!(scrape(&sandbox).value("veth_fabric_read", &[]), Some(1));
    // And then they are dropped, without an answer or with one that says why.
    for stream in &mut slow {
        let mut answer = String::new();
        let ended = stream.read_to_string(&mut answer);
        assert!(ended.is_ok(), "{ended:?} after {answer:?}");
        assert!(!answer.contains(" 200 "), "{answer}");
    }

    let answers: Vec<String> = thread::scope(|scope| {
        let ask = || client::exchange(&sandbox, b"GET /metrics HTTP/1.1\r\nHost: veth\r\n\r\n");
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().map(|it| it.join().expect("is answered")).collect()
    });
    assert!(answers.iter().all(|answer| answer.contains("\nveth_fabric_read{fabric=\"lab\"} 1\n")));

    let more = peak_kib(&served) - before;
    println!("{CLIENTS} slow clients, then {CLIENTS} at once: {more} KiB more");
    assert!(more < ROOM_KIB, "{more} KiB");
    end_of(served);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn garbage_is_refused_in_bounded_memory() {
    let sandbox = Sandbox::new();
    let served = serve(&sandbox, &["metrics"]);
    scrape(&sandbox);
    let before = peak_kib(&served);
    let long_path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(TOO_MUCH));
    let long_header = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(TOO_MUCH));
    let many_headers = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(TOO_MUCH / 6));
    let body = format!(
        "GET /metrics HTTP/1.1\r\nContent-Length: {TOO_MUCH}\r\n\r\n{}",
        "x".repeat(TOO_MUCH)
    );
    let noise = (0_u32..).flat_map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes());
    let noise: Vec<u8> = noise.take(TOO_MUCH).collect();
    let requests: [(&[u8], bool); 8] = [
        (b"\r\n\r\n\r\n", false),
        (b"\0\xff\x16\x03\x01\x02\0\x01\0", false),
        (b"GET /metrics HTTP/9.9\r\n\r\n", false),
        (&noise, false),
        (long_path.as_bytes(), false),
        (long_header.as_bytes(), false),
        (many_headers.as_bytes(), false),
        (body.as_bytes(), true),
    ];
    for round in 0..20 {
        for (request, is_sound) in &requests {
            let mut stream = connect(&sandbox, ADDRESS);
            // It may be refused before all of it was sent.
            let _ = stream.write_all(request);
            let _ = stream.shutdown(Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            let is_answered = answer.starts_with(b"HTTP/1.1 200");
            let shown = String::from_utf8_lossy(&request[..request.len().min(40)]);
            // The kernel may lose the answer to a client that has not been read out.
            assert!(*is_sound || !is_answered, "round {round}: {shown}");
        }
        assert_eq!(scrape(&sandbox).value("veth_build_info", &[]), Some(1));
    }
    let more = peak_kib(&served) - before;
    println!("garbage: {more} KiB more");
    assert!(more < ROOM_KIB, "{more} KiB");
    end_of(served);
}

#[test]
#[ignore = "needs root"]
fn a_thousand_ports_are_told_of() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("thousand")]).ok();
    let served = serve(&sandbox, &["metrics"]);
    for round in 0..5 {
        let started = Instant::now();
        let answer = get(&sandbox, "/metrics", OPEN_METRICS);
        let took = started.elapsed();
        let ports = answer.body.lines().filter(|line| line.starts_with("veth_port_fast{")).count();
        assert_eq!(ports, 1000);
        let read =
            answer.body.lines().find(|line| line.starts_with("veth_scrape_duration_seconds "));
        let read = read.and_then(|line| line.rsplit_once(' ')).map_or("", |(_, seconds)| seconds);
        println!(
            "scrape {round} of 1000 ports: {took:.1?} for {} KiB, of which {read} s to read them",
            answer.body.len() >> 10
        );
        let started = Instant::now();
        get(&sandbox, "/metrics", OPEN_METRICS);
        println!("and once more, within a second: {:.1?}", started.elapsed());
        // Until then, the kernel is not asked again.
        thread::sleep(std::time::Duration::from_millis(1100));
    }
    end_of(served);
    sandbox.veth(&["down", "thousand"]).ok();
}
