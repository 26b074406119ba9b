//! What users of veth pairs meet, one example file after another: what works, what does not, and
//! that it is for the reason that docs/tutorial.md gives.

mod doctor;
mod mesh;
mod namespaces;
mod one_namespace;
mod resolve;

use serde_json::Value;

use crate::sandbox::{Run, Sandbox};

/// An example file.
pub(crate) struct Example {
    /// The name of the file.
    name: &'static str,
    text: &'static str,
}

/// The example of that name.
macro_rules! example {
    ($name:literal) => {
        $crate::scenarios::Example {
            name: $name,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/", $name)),
        }
    };
}
pub(crate) use example;

impl Example {
    /// Brings it up with each `from` in its text replaced by its `to`; says where the file is.
    #[track_caller]
    pub(crate) fn up_with(&self, sandbox: &Sandbox, changes: &[(&str, &str)]) -> String {
        let mut text = self.text.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{} has no {from:?}", self.name);
            text = text.replace(from, to);
        }
        let file = sandbox.file(self.name, &text);
        sandbox.veth(&["up", &file]).ok();
        file
    }

    /// Brings it up as it is.
    #[track_caller]
    pub(crate) fn up(&self, sandbox: &Sandbox) -> String {
        self.up_with(sandbox, &[])
    }
}

/// Sends one echo request, which nobody answers; what `ping` prints.
#[track_caller]
fn lost(sandbox: &Sandbox, from: &str, args: &[&str]) -> String {
    let mut command = sandbox.command("ip");
    command.args(["netns", "exec", from, "ping", "-n", "-c", "1", "-W", "1"]).args(args);
    let run = Run::of(command);
    assert!(matches!(run.code, 1 | 2), "{args:?}: {}{}", run.stdout, run.stderr);
    run.stdout + &run.stderr
}

/// What `ip -j` says of one object.
#[track_caller]
fn ip(sandbox: &Sandbox, args: &str) -> Value {
    let text = sandbox.sh(&format!("ip -j {args}"));
    let value: Value = serde_json::from_str(&text).expect("ip prints JSON");
    value[0].clone()
}

/// Frames that a device has received, or sent: `rx` or `tx`.
#[track_caller]
fn frames(sandbox: &Sandbox, netns: &str, device: &str, direction: &str) -> u64 {
    let link = ip(sandbox, &format!("-s -n {netns} link show dev {device}"));
    link["stats64"][direction]["packets"].as_u64().expect("a device counts")
}

/// The device through which a namespace sends to `address`.
#[track_caller]
fn way(sandbox: &Sandbox, netns: &str, address: &str) -> String {
    let route = ip(sandbox, &format!("-n {netns} route get {address}"));
    route["dev"].as_str().expect("a route has a device").to_owned()
}
