//! The wish to stop, shared between threads.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A wish to stop. Clones share it; it cannot be taken back.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    requested: AtomicBool,
    parent: Option<Stop>,
}

impl Stop {
    /// Not requested yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that this one stops as well, but that does not stop this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(Arc::new(Wish { requested: AtomicBool::new(false), parent: Some(self.clone()) }))
    }

    /// Asks everything that looks at it to stop.
    pub fn request(&self) {
        // Nothing is published with the flag, so there is nothing to order.
        self.0.requested.store(true, Ordering::Relaxed);
    }

    /// Whether it is time to stop.
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Relaxed)
            || self.0.parent.as_ref().is_some_and(Self::is_requested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_reaches_children_and_not_parents() {
        let parent = Stop::new();
        let (first, second) = (parent.child(), parent.child());

        first.request();
        assert!(first.is_requested() && !second.is_requested() && !parent.is_requested());

        parent.request();
        assert!(second.is_requested());
    }
}
