//! What a command is about: a fabric by name, or by its file.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use super::session::BadFile;
use crate::{
    fabric,
    topology::{FabricName, Topology},
};

/// Reads and checks a topology file.
pub(super) fn read_topology(path: &Path) -> Result<Topology> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|source| BadFile::Unreadable { path: name.clone(), source })?;
    Topology::parse(&text).map_err(|problems| BadFile::Wrong { path: name, problems }.into())
}

/// A fabric that was named in one way or the other.
pub(super) enum Target {
    Name(FabricName),
    File(Box<Topology>),
}

impl Target {
    /// A text with a slash or the ending of a file is a file; anything else is a name.
    pub(super) fn of(text: &str) -> Result<Self> {
        let is_toml = Path::new(text).extension().is_some_and(|extension| extension == "toml");
        if is_toml || text.contains('/') {
            Ok(Self::File(Box::new(read_topology(Path::new(text))?)))
        } else {
            let name = text.parse().with_context(|| format!("{text:?} is no fabric"))?;
            Ok(Self::Name(name))
        }
    }

    pub(super) fn name(&self) -> &FabricName {
        match self {
            Self::Name(name) => name,
            Self::File(topology) => topology.name(),
        }
    }
}

/// The fabric called `name`, or the only one there is.
pub(super) fn only_fabric(name: Option<&str>) -> Result<FabricName> {
    if let Some(name) = name {
        return name.parse().with_context(|| format!("{name:?} is no fabric"));
    }
    let mut fabrics = fabric::list()?;
    match fabrics.len() {
        1 => Ok(fabrics.remove(0)),
        0 => bail!("there is no fabric; `veth up FILE` makes one"),
        _ => {
            let names: Vec<&str> = fabrics.iter().map(FabricName::as_str).collect();
            bail!("there are several fabrics, name one: {}", names.join(", "))
        }
    }
}
