//! The systemd unit that keeps a bridge attached.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use super::AttachOptions;
use crate::{
    cli::session::{Session, complain, print, print_json},
    fabric,
    topology::FabricName,
};

/// What `ProtectHome=yes` hides from a unit.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// The unit for `bridge`, with the arguments of this command.
pub(super) fn text(bridge: &FabricName, options: &AttachOptions) -> Result<String> {
    let program = std::env::current_exe().context("find out which program this is")?;
    // Else the program itself could not be started.
    let is_in_home = HOMES.iter().any(|home| program.starts_with(home));
    let protect_home = if is_in_home { "read-only" } else { "yes" };
    let program = quote(program.to_str().context("the path of this program is no text")?);
    let mut arguments = String::new();
    for bypass in &options.bypass {
        let _ = write!(arguments, " --bypass {bypass}");
    }
    if let Some(hook) = options.hook {
        let _ = write!(arguments, " --hook {hook}");
    }
    // Only the process that stays serves metrics.
    let metrics = options.metrics.map(|address| format!(" --metrics {address}"));
    let metrics = metrics.unwrap_or_default();
    // Names of bridges have neither spaces nor what systemd would take for its own, but for this.
    let bridge = bridge.as_str().replace('%', "%%").replace('$', "$$");
    Ok(format!(
        "\
[Unit]
Description=veth fast path on bridge {bridge}
Documentation=man:veth-attach(1)
After=network.target docker.service podman.service libvirtd.service
# What is refused, because rules would be passed by, is not tried for ever.
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
ExecStart={program} attach {bridge} --wait{arguments}{metrics}
# Looks at everything once more, now.
ExecReload={program} attach {bridge} --once{arguments}
# Stopping detaches; this is for when the process was killed.
ExecStopPost=-{program} detach {bridge}
Restart=on-failure
RestartSec=2
# Arguments that make no sense now make none in two seconds.
RestartPreventExitStatus=2
CapabilityBoundingSet=CAP_NET_ADMIN CAP_BPF CAP_PERFMON CAP_SYS_ADMIN CAP_SYS_RESOURCE CAP_NET_BROADCAST
NoNewPrivileges=yes
ProtectHome={protect_home}

[Install]
WantedBy=multi-user.target
"
    ))
}

/// Writes the unit into `dir`, and says how to start it.
pub(super) fn install(
    session: &Session,
    dir: &Path,
    bridge: &FabricName,
    options: &AttachOptions,
) -> Result<()> {
    let unit = format!("veth-{bridge}.service");
    let path = dir.join(&unit);
    fs::write(&path, text(bridge, options)?)
        .with_context(|| format!("write {}", path.display()))?;
    if !fabric::is_there(bridge)? {
        complain(&format!("there is no bridge {bridge} yet; the unit waits for it"));
    }
    if session.json {
        return print_json(&serde_json::json!({ "unit": unit, "path": path }));
    }
    print(&format!(
        "wrote {}\n  start it:  systemctl daemon-reload && systemctl enable --now {unit}\n  \
         stop it:   systemctl disable --now {unit}\n",
        path.display()
    ))
}

/// A word of a command line as systemd reads it.
fn quote(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
    let escaped = escaped.replace('%', "%%").replace('$', "$$");
    if escaped.contains([' ', '\t', '"', '\'', ';']) { format!("\"{escaped}\"") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_systemd_would_take_apart_are_quoted() {
        assert_eq!(quote("/usr/bin/veth"), "/usr/bin/veth");
        assert_eq!(quote("/opt/my tools/veth"), "\"/opt/my tools/veth\"");
        assert_eq!(quote("/opt/100%/$HOME"), "/opt/100%%/$$HOME");
    }
}
