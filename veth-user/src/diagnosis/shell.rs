//! Command lines for people to paste, in whatever namespace they belong.

use std::fmt;

/// How a person gets into a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shell {
    /// It is where the person is.
    Here,
    /// By a name that `ip netns` knows.
    Named(String),
    /// By a process in it.
    Process(u32),
    /// Not at all.
    Nowhere,
}

impl Shell {
    /// `ip ARGUMENTS` in the namespace.
    pub fn ip(&self, arguments: impl fmt::Display) -> String {
        self.tool("ip", &arguments)
    }

    /// `bridge ARGUMENTS` in the namespace.
    pub fn bridge(&self, arguments: impl fmt::Display) -> String {
        self.tool("bridge", &arguments)
    }

    /// Any other command in the namespace.
    pub fn run(&self, command: impl fmt::Display) -> String {
        match self {
            Self::Here => command.to_string(),
            Self::Named(name) => format!("ip netns exec {} {command}", quoted(name)),
            Self::Process(pid) => format!("nsenter -t {pid} -n {command}"),
            Self::Nowhere => format!("{command}  # in that namespace"),
        }
    }

    /// The namespace as `ip link ... netns` takes it; none for what has neither name nor process.
    pub fn as_argument(&self) -> Option<String> {
        match self {
            Self::Named(name) => Some(quoted(name)),
            Self::Process(pid) => Some(pid.to_string()),
            Self::Here | Self::Nowhere => None,
        }
    }

    fn tool(&self, name: &str, arguments: &dyn fmt::Display) -> String {
        match self {
            Self::Named(netns) => format!("{name} -n {} {arguments}", quoted(netns)),
            _ => self.run(format_args!("{name} {arguments}")),
        }
    }
}

/// `name` as one word of a shell. Whoever names a device or a namespace is not to run commands.
pub fn quoted(name: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "_.@%+:,-".contains(it);
    if !name.is_empty() && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_goes_where_it_belongs() {
        assert_eq!(Shell::Here.ip("link"), "ip link");
        assert_eq!(Shell::Named("red".into()).ip("link"), "ip -n red link");
        assert_eq!(Shell::Named("red".into()).bridge("link"), "bridge -n red link");
        assert_eq!(Shell::Named("red".into()).run("true"), "ip netns exec red true");
        assert_eq!(Shell::Process(7).ip("link"), "nsenter -t 7 -n ip link");
        assert!(Shell::Nowhere.run("true").contains("in that namespace"));
    }

    #[test]
    fn names_run_no_commands() {
        assert_eq!(quoted("veth-1.2@x"), "veth-1.2@x");
        assert_eq!(quoted("$(reboot)"), "'$(reboot)'");
        assert_eq!(quoted("a'b;c"), r"'a'\''b;c'");
        assert_eq!(Shell::Named(";x".into()).ip("link"), "ip -n ';x' link");
        assert_eq!(quoted(""), "''");
    }
}
