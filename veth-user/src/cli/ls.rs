//! `veth ls`

use std::path::Path;

use anyhow::{Result, bail};

use super::{
    arguments::LsOptions,
    session::{Session, complain, print, print_json},
};
use crate::census::Census;

/// Where the files of this machine's containers are.
const ROOT: &str = "/";

pub(super) fn run(session: &Session, options: &LsOptions) -> Result<()> {
    let census = Census::take(Path::new(ROOT))?;
    let mut inventory = census.inventory();
    let mut notes = [census.notes(), &inventory.notes()].concat();
    if let Some(filter) = &options.filter {
        inventory.select_with_bridges(filter);
        // What was not seen might have been chosen. Where something was, only that matters.
        if !inventory.is_empty() {
            notes = inventory.notes();
        }
    }
    for note in &notes {
        complain(note);
    }
    if session.json {
        print_json(&inventory)?;
    } else if !inventory.is_empty() {
        print(&inventory.table())?;
    }
    match &options.filter {
        Some(filter) if inventory.is_empty() => bail!(
            "{filter:?} is no container, namespace, process, device, bridge or address of a veth pair; \
             `veth ls` lists them"
        ),
        None if inventory.is_empty() && !session.json => print("there is no veth pair\n"),
        _ => Ok(()),
    }
}
