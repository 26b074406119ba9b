//! Which hook the program is attached through.

use crate::{datapath::Hook, forwarding::FastPath};

/// How many ports at once are attached through tcx when there is a choice.
///
/// The kernel waits for an RCU grace period in each tcx attachment, and holds the lock of all
/// network configuration meanwhile: some milliseconds for each port, a quarter of a minute for a
/// thousand. A clsact filter takes no such wait, for a few nanoseconds more for each frame.
/// Source: `tcx_entry_sync` in <https://github.com/torvalds/linux/blob/v6.12/include/net/tcx.h>.
const TCX_AT_ONCE: usize = 64;

/// Which hook to attach ports through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookPolicy {
    /// This one, whatever the ports have now.
    Only(Hook),
    /// What a port has now; for new ports the best that the kernel has, or clsact when there are
    /// too many at once to wait for tcx.
    Auto {
        /// The best that the kernel has.
        best: Hook,
    },
}

impl HookPolicy {
    pub(super) fn choose(self, present: Option<Hook>, new_ports: usize) -> Hook {
        match (self, present) {
            (Self::Only(hook), _) => hook,
            // One of the other fast path is what a switch left that was not completed.
            (Self::Auto { best }, Some(present)) if present.path() == best.path() => present,
            (Self::Auto { .. }, _) if new_ports > TCX_AT_ONCE => Hook::Clsact,
            (Self::Auto { best }, _) => best,
        }
    }

    /// The fast path whose program hangs there.
    pub const fn path(self) -> FastPath {
        match self {
            Self::Only(hook) | Self::Auto { best: hook } => hook.path(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hook_is_what_was_asked_for_then_what_is_there_then_the_best_that_is_quick() {
        let auto = HookPolicy::Auto { best: Hook::Tcx };
        assert_eq!(HookPolicy::Only(Hook::Tcx).choose(Some(Hook::Clsact), 1000), Hook::Tcx);
        assert_eq!(auto.choose(Some(Hook::Clsact), 1), Hook::Clsact);
        assert_eq!(auto.choose(None, TCX_AT_ONCE), Hook::Tcx);
        assert_eq!(auto.choose(None, TCX_AT_ONCE + 1), Hook::Clsact);
        assert_eq!(HookPolicy::Auto { best: Hook::Clsact }.choose(None, 1), Hook::Clsact);
        assert_eq!(auto.choose(Some(Hook::Xdp), 1), Hook::Tcx);
        assert_eq!(auto.choose(Some(Hook::Xdp), TCX_AT_ONCE + 1), Hook::Clsact);
    }
}
