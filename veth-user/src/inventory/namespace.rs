//! A network namespace as people know it: what it is called, who is in it, whose it is.

use serde::Serialize;

use crate::report::plain;

/// A network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// Its inode, which identifies it for as long as it exists.
    pub inode: u64,
    /// Whether it is the one that was looked around from.
    pub own: bool,
    /// Its names.
    pub names: Vec<String>,
    /// The oldest process in it. Not looked for where the namespace is the own one.
    pub process: Option<Process>,
    /// All processes in it. Not looked for where the namespace is the own one.
    #[serde(skip)]
    pub pids: Vec<u32>,
    /// The containers that its processes belong to.
    pub containers: Vec<Container>,
}

impl Namespace {
    /// What tells it from others: its name, or else its oldest process, which may call itself what it
    /// likes.
    pub fn label(&self) -> String {
        match (self.names.first(), &self.process) {
            (Some(name), _) => name.clone(),
            (None, Some(process)) => format!("{} ({})", process.pid, plain(&process.command)),
            (None, None) => format!("inode {}", self.inode),
        }
    }
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The name of its command, as the kernel cuts it.
    pub command: String,
    /// When it started, in ticks since the machine did.
    #[serde(skip)]
    pub started_ticks: u64,
}

impl Process {
    /// The process that the text of `/proc/PID/stat` describes.
    pub fn of_stat(text: &str) -> Option<Self> {
        /// Among the fields after the command, which begin with the third of all.
        const START_TIME: usize = 22 - 3;
        let (pid, rest) = text.split_once(" (")?;
        // The command may have anything in it, parentheses included; what follows has none.
        let (command, fields) = rest.rsplit_once(") ")?;
        Some(Self {
            pid: pid.parse().ok()?,
            command: command.to_owned(),
            started_ticks: fields.split_whitespace().nth(START_TIME)?.parse().ok()?,
        })
    }
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name, where that is known.
    pub name: Option<String>,
}

impl Container {
    /// Its name, or else its id as its tools shorten it.
    pub fn label(&self) -> &str {
        /// What `podman ps` and `docker ps` show, in characters.
        const SHORT: usize = 12;
        let short = || self.id.get(..SHORT).unwrap_or(&self.id);
        self.name.as_deref().unwrap_or_else(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_look_like_the_fields_around_it() {
        let text = "24320 (a) S (b c) S 24317 24320 24320 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 \
                    1589651 1400832 1 18446744073709551615\n";
        let process = Process::of_stat(text).expect("it is whole");
        assert_eq!(process.pid, 24320);
        assert_eq!(process.command, "a) S (b c");
        assert_eq!(process.started_ticks, 1_589_651);
        assert_eq!(Process::of_stat("24320 (sleep) S 1 2"), None);
        assert_eq!(Process::of_stat(""), None);
    }

    #[test]
    fn a_name_tells_more_than_a_process_does() {
        let process = Process { pid: 7, command: "sleep".into(), started_ticks: 1 };
        let mut namespace = Namespace { inode: 9, process: Some(process), ..Namespace::default() };
        assert_eq!(namespace.label(), "7 (sleep)");
        namespace.process.as_mut().expect("just given").command = "a\nb\u{1b}[H".into();
        assert_eq!(namespace.label(), "7 (a?b?[H)");
        namespace.names.push("red".into());
        assert_eq!(namespace.label(), "red");
        assert_eq!(Namespace { inode: 9, ..Namespace::default() }.label(), "inode 9");
    }

    #[test]
    fn a_container_without_a_name_is_its_short_id() {
        let mut container = Container { id: "0123456789abcdef".into(), name: None };
        assert_eq!(container.label(), "0123456789ab");
        container.name = Some("web".into());
        assert_eq!(container.label(), "web");
    }
}
