//! A real Prometheus scrapes, and runs every query of the dashboard and of the alert rules.

use std::{collections::BTreeSet, fs, io::Write as _, process::Stdio};

use serde_json::Value;

use super::{client, end_of, serve};
use crate::{
    sandbox::{Run, Sandbox, Started, wait_until},
    traffic::{
        example,
        talk::{end, exchange_streams},
    },
};

const DASHBOARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grafana/veth.json");
const ALERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grafana/alerts.yml");
const API: &str = "127.0.0.1:9090";

/// Starts it; it scrapes the endpoint and evaluates the rules every second.
fn start(sandbox: &Sandbox) -> Started {
    let config = sandbox.file(
        "prometheus.yml",
        &format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [{ALERTS:?}]\n\
             scrape_configs:\n\
             - {{ job_name: veth, static_configs: [{{ targets: [{:?}] }}] }}\n",
            client::ADDRESS
        ),
    );
    let mut command = sandbox.command("prometheus");
    command.args([
        &format!("--config.file={config}"),
        &format!("--storage.tsdb.path={}", sandbox.file_path("tsdb")),
        &format!("--web.listen-address={API}"),
        "--log.level=error",
    ]);
    Started::of(command)
}

/// Asks its API; `None` while it does not answer.
fn ask(sandbox: &Sandbox, what: &str, query: &str) -> Option<Value> {
    if !client::is_there(sandbox, API) {
        return None;
    }
    let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
    // An old client gets its answer in one piece.
    let request = format!("GET /api/v1/{what}?query={query} HTTP/1.0\r\n\r\n");
    let answer = client::exchange_with(sandbox, API, request.as_bytes());
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// How many results a query has; fails the test when it is wrong.
#[track_caller]
fn results(sandbox: &Sandbox, query: &str) -> usize {
    let answer = ask(sandbox, "query", query).expect("it answers");
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    answer["data"]["result"].as_array().expect("a query has results").len()
}

/// The queries of the dashboard, as Grafana would send them.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("a dashboard has panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("has queries"));
    targets
        .map(|target| target["expr"].as_str().expect("a query is text"))
        .map(|query| query.replace("$fabric", ".*").replace("$__rate_interval", "10s"))
        .collect()
}

/// The metrics that a text names.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_'))
        .filter(|word| word.starts_with("veth_"))
        .collect()
}

/// Hands `text` to `promtool check metrics`.
#[track_caller]
fn lint(sandbox: &Sandbox, text: &str) {
    let mut command = sandbox.command("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut tool = command.stderr(Stdio::piped()).spawn().expect("promtool is there");
    let mut stdin = tool.stdin.take().expect("is piped");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    let run = Run::from(tool.wait_with_output().expect("it ends")).ok();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "promtool has complaints");
}

#[test]
#[ignore = "needs root"]
fn prometheus_reads_the_metrics_and_understands_dashboard_and_rules() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let served = serve(&sandbox, &["agent", "lab", "--metrics", client::ADDRESS]);
    exchange_streams(&sandbox, end("red", "10.77.0.1"), end("blue", "10.77.0.2"), 1 << 20);
    lint(&sandbox, &client::get(&sandbox, "/metrics", "").body);
    sandbox.sh(&format!("promtool check rules {ALERTS}"));

    let mut prometheus = start(&sandbox);
    wait_until("a scrape", || {
        assert!(prometheus.is_running(), "prometheus has ended");
        let answer = ask(&sandbox, "query", "up{job=\"veth\"} == 1");
        answer.is_some_and(|it| it["data"]["result"].as_array().is_some_and(|it| it.len() == 1))
    });
    let dashboard = fs::read_to_string(DASHBOARD).expect("there is a dashboard");
    let alerts = fs::read_to_string(ALERTS).expect("there are rules");
    let named: BTreeSet<&str> = names(&dashboard).union(&names(&alerts)).copied().collect();
    for name in named {
        assert!(results(&sandbox, name) > 0, "{name} is named, and not told");
    }
    let frames = "veth_frames_total{port=\"red\",netns=\"red\",verdict=\"redirected\"} > 0";
    assert_eq!(results(&sandbox, frames), 1);
    let dashboard: Value = serde_json::from_str(&dashboard).expect("a dashboard is JSON");
    let queries = queries(&dashboard);
    assert!(queries.len() > 10);
    for query in queries {
        results(&sandbox, &query);
    }

    // Each rule is evaluated without an error, and nothing is wrong.
    wait_until("the rules to be evaluated", || {
        let answer = ask(&sandbox, "rules", "").expect("it answers");
        let rules = answer["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        !rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")
    });
    assert_eq!(results(&sandbox, "ALERTS"), 0);
    sandbox.sh("bridge link set dev red learning off");
    wait_until("the alert to be pending", || {
        results(&sandbox, "ALERTS{alertname=\"VethPortLeftToBridge\",port=\"red\"}") == 1
    });
    drop(prometheus);
    end_of(served);
    sandbox.down("lab");
}
