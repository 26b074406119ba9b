//! `veth run`: a fabric for as long as the command runs, with traffic, figures and a comparison.

mod comparison;
mod summary;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    arguments::RunOptions,
    session::{Session, complain, is_terminal, print, print_json, say},
    stats::{Reader, Screen, rates_view},
    target::read_topology,
};
use crate::{
    Stop,
    counters::rates,
    datapath::Hook,
    fabric::{self, Control},
    netns::{Named, Netns},
    plan::Step,
    sync::HookPolicy,
    topology::{FabricName, Topology},
    traffic::{Background, Endpoint},
};
use comparison::compare;
use summary::Summary;

/// How long live traffic is shown when nobody is there to press Ctrl-C.
const UNATTENDED: Duration = Duration::from_secs(10);

/// How often the live view is drawn.
const REFRESH: Duration = Duration::from_secs(1);

pub(super) fn run(session: &Session, options: &RunOptions) -> Result<()> {
    let mut topology = read_topology(&options.file)?;
    if let Some(datapath) = options.datapath {
        topology = topology.with_datapath(datapath);
    }
    let name = topology.name();
    if !topology.has_bridge() {
        bail!(
            "run shows what a bridge and its fast path do, and {name} has only pairs; `veth up` makes these"
        );
    }
    let (client, server) = talkers(&topology)?;
    let refusal = || {
        format!("fabric {name} is up already; `veth down {name}` first, as run takes it down after")
    };
    if fabric::list()?.contains(name) {
        bail!(refusal());
    }
    let live = match options.seconds {
        Some(seconds) => Some(Duration::from_secs_f64(seconds)),
        None if is_terminal() => None,
        None => Some(UNATTENDED),
    };
    let asked: Option<Hook> = options.hook.map(Into::into);
    let path = topology.datapath().fast_path();
    let hook = path.map(|path| fabric::hook_policy(path, asked)).transpose()?;

    // A fabric that cannot be made takes itself back; only one that is there is ours to remove.
    let raised = session.with_progress(|control| fabric::up(&topology, asked, control))?;
    if !raised.steps.iter().any(|step| matches!(step, Step::CreateBridge { .. })) {
        // Somebody else was quicker since the question above.
        bail!(refusal());
    }
    let mut teardown = Teardown { fabric: name.clone(), armed: true };
    let demo = || -> Result<Summary> {
        let client = Talker::open(&client)?;
        let server = Talker::open(&server)?;
        demonstrate(session, name, hook, &client, &server, live)
    };
    let summary = demo();
    let down = teardown.run();
    let summary = summary?;
    down?;
    if session.json { print_json(&summary) } else { print(&summary.text()) }
}

/// Takes the fabric down when it goes out of scope, whatever the reason.
struct Teardown {
    fabric: FabricName,
    armed: bool,
}

impl Teardown {
    fn run(&mut self) -> Result<()> {
        self.armed = false;
        // The wish to stop is why we are here; it must not stop the clean-up.
        let mut progress = |_: usize, _: usize, _: &Step| {};
        let mut waiting = || {};
        let stop = Stop::new();
        let mut control = Control { stop: &stop, progress: &mut progress, waiting: &mut waiting };
        fabric::down(&self.fabric, &mut control)
            .with_context(|| format!("take fabric {} down", self.fabric))
            .map(drop)
    }
}

impl Drop for Teardown {
    fn drop(&mut self) {
        if self.armed
            && let Err(error) = self.run()
        {
            complain(&format!("{error:#}"));
        }
    }
}

/// A namespace that takes part in the demonstration, by name.
struct Place {
    netns: String,
    address: IpAddr,
}

/// The same, open.
struct Talker {
    netns: Netns,
    address: IpAddr,
}

impl Talker {
    fn open(place: &Place) -> Result<Self> {
        let Named::Namespace(netns) = Netns::look_up(&place.netns)? else {
            bail!("namespace {} is not there any more", place.netns);
        };
        Ok(Self { netns, address: place.address })
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::new(&self.netns, self.address)
    }
}

/// The first two namespaces that have addresses of one family.
fn talkers(topology: &Topology) -> Result<(Place, Place)> {
    for ipv6 in [false, true] {
        let mut places = topology.namespaces().iter().filter_map(|namespace| {
            let address = namespace.addresses().iter().find(|it| it.is_ipv6() == ipv6)?;
            Some(Place { netns: namespace.name().to_string(), address: address.address() })
        });
        if let (Some(client), Some(server)) = (places.next(), places.next()) {
            return Ok((client, server));
        }
    }
    bail!("run needs two namespaces with addresses of one family to send traffic between")
}

fn demonstrate(
    session: &Session,
    fabric: &FabricName,
    hook: Option<HookPolicy>,
    client: &Talker,
    server: &Talker,
    live: Option<Duration>,
) -> Result<Summary> {
    let note = |text: &str| {
        if !session.json {
            say(text);
        }
    };
    note(&format!(
        "fabric {fabric}: traffic from {} ({}) to {} ({})",
        client.netns.name(),
        client.address,
        server.netns.name(),
        server.address
    ));
    let comparison = match hook {
        Some(hook) => compare(session, fabric, hook, client, server)?,
        None => comparison::Comparison::default(),
    };
    let mut summary = Summary::new(fabric, comparison);
    if hook.is_none() || session.stop.is_requested() {
        return Ok(summary);
    }

    note("live traffic; Ctrl-C ends it");
    let mut reader = Reader::open(fabric)?;
    let traffic = Background::start(client.endpoint(), server.endpoint(), &session.stop)?;
    let first = reader.snapshot()?;
    let end = live.map(|live| Instant::now() + live);
    let mut screen = Screen::default();
    let mut before = first.clone();
    loop {
        let left = end.map_or(REFRESH, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() || !session.sleep(left.min(REFRESH)) {
            break;
        }
        let after = reader.snapshot()?;
        if !session.json {
            screen.show(&rates_view(&rates(&before, &after)))?;
        }
        before = after;
    }
    if let Some(error) = traffic.take_error() {
        note(&format!("traffic: {error}"));
    }
    traffic.stop()?;
    summary.add_live(&first, &reader.snapshot()?);
    Ok(summary)
}
