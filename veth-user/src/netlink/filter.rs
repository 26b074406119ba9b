//! Filters of a clsact qdisc.

use std::collections::BTreeMap;

use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};
use veth_common::Ifindex;

use super::{Netlink, NetlinkError};

/// Where a device may have filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterHooks {
    /// At its ingress alone (`ingress`).
    Ingress,
    /// At its ingress and its egress (`clsact`).
    IngressAndEgress,
}

impl Netlink {
    /// The devices of the namespace that may have filters, apart from those of a queueing
    /// discipline of their own.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub fn filter_hooks(&mut self) -> Result<BTreeMap<Ifindex, FilterHooks>, NetlinkError> {
        let question = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let answer = self.dump(&question, || "list queueing disciplines".into())?;
        let hooks = answer.into_iter().filter_map(|message| {
            let RouteNetlinkMessage::NewQueueDiscipline(message) = message else { return None };
            let hooks = message.attributes.iter().find_map(|attribute| match attribute {
                TcAttribute::Kind(kind) if kind == "clsact" => Some(FilterHooks::IngressAndEgress),
                TcAttribute::Kind(kind) if kind == "ingress" => Some(FilterHooks::Ingress),
                _ => None,
            })?;
            Some((Ifindex(message.header.index.cast_unsigned()), hooks))
        });
        Ok(hooks.collect())
    }

    /// Whether `ifindex` has filters at its ingress other than the one with that priority, handle
    /// and name.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub fn has_ingress_filter_beside(
        &mut self,
        ifindex: Ifindex,
        priority: u16,
        handle: u16,
        name: &str,
    ) -> Result<bool, NetlinkError> {
        let messages = self.filter_messages(ifindex, TcHandle::MIN_INGRESS)?;
        Ok(messages.iter().any(|message| {
            let is_of_priority = priority_of(message) == priority;
            // What lists the priority itself. A filter that cannot be parsed is known by that.
            let is_priority = message.header.handle == TcHandle::UNSPEC;
            let is_ours = is_at(message, priority, handle) && program_of(message, name).is_some();
            !(is_of_priority && (is_priority || is_ours))
        }))
    }

    /// Whether `ifindex`, which has a clsact qdisc, has filters at its egress.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub fn has_egress_filter(&mut self, ifindex: Ifindex) -> Result<bool, NetlinkError> {
        Ok(!self.filter_messages(ifindex, TcHandle::MIN_EGRESS)?.is_empty())
    }

    /// Id of the program of the bpf filter at the ingress of `ifindex` with that priority, handle
    /// and name, or `None` when there is no such filter, or no qdisc that could have one.
    ///
    /// # Minimum kernel version
    ///
    /// 4.13 (`TCA_BPF_ID`).
    pub fn ingress_program(
        &mut self,
        ifindex: Ifindex,
        priority: u16,
        handle: u16,
        name: &str,
    ) -> Result<Option<u32>, NetlinkError> {
        let filters = self.filters(ifindex, TcHandle::MIN_INGRESS)?;
        let ours = filters.iter().find(|message| is_at(message, priority, handle));
        Ok(ours.and_then(|message| program_of(message, name)))
    }

    /// Whether anything filters what comes in at `ifindex`. Programs on tcx are not seen.
    pub fn has_ingress_filters(&mut self, ifindex: Ifindex) -> Result<bool, NetlinkError> {
        Ok(!self.filters(ifindex, TcHandle::MIN_INGRESS)?.is_empty())
    }

    /// Removes the clsact qdisc of `ifindex` when it has no filter, in neither direction. Having
    /// none is fine.
    pub fn remove_empty_clsact(&mut self, ifindex: Ifindex) -> Result<(), NetlinkError> {
        for direction in [TcHandle::MIN_INGRESS, TcHandle::MIN_EGRESS] {
            if !self.filters(ifindex, direction)?.is_empty() {
                return Ok(());
            }
        }
        let mut message = TcMessage::default();
        message.header.index = ifindex.0.cast_signed();
        message.header.parent = TcHandle::CLSACT;
        message.header.handle = TcHandle { major: u16::MAX, minor: 0 };
        message.attributes.push(TcAttribute::Kind("clsact".into()));
        let removed = self.execute(RouteNetlinkMessage::DelQueueDiscipline(message), 0, || {
            format!("remove the clsact qdisc of link {}", ifindex.0)
        });
        match removed {
            Err(error) if !error.is_not_found() && !error.is_invalid() => Err(error),
            _ => Ok(()),
        }
    }

    fn filters(&mut self, ifindex: Ifindex, minor: u16) -> Result<Vec<TcMessage>, NetlinkError> {
        let mut filters = self.filter_messages(ifindex, minor)?;
        // Each priority is listed once more by itself, without a handle.
        filters.retain(|message| message.header.handle != TcHandle::UNSPEC);
        Ok(filters)
    }

    /// The filters, and before those of each priority one message for the priority itself.
    fn filter_messages(
        &mut self,
        ifindex: Ifindex,
        minor: u16,
    ) -> Result<Vec<TcMessage>, NetlinkError> {
        let mut message = TcMessage::default();
        message.header.index = ifindex.0.cast_signed();
        message.header.parent = TcHandle { major: u16::MAX, minor };
        let answer = self.dump(&RouteNetlinkMessage::GetTrafficFilter(message), || {
            format!("list filters of link {}", ifindex.0)
        });
        let filters = match answer {
            Ok(filters) => filters,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let filters = filters.into_iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewTrafficFilter(message) => Some(message),
            _ => None,
        });
        Ok(filters.collect())
    }
}

fn priority_of(message: &TcMessage) -> u16 {
    // The upper half is the priority, the lower one the protocol.
    (message.header.info >> 16) as u16
}

fn is_at(message: &TcMessage, priority: u16, handle: u16) -> bool {
    let TcHandle { major, minor } = message.header.handle;
    (priority_of(message), major, minor) == (priority, 0, handle)
}

fn program_of(message: &TcMessage, name: &str) -> Option<u32> {
    let options = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options),
        _ => None,
    })?;
    let has_name = options.iter().any(|option| {
        matches!(option, TcOption::Bpf(TcFilterBpfOption::ProgName(theirs)) if theirs == name)
    });
    let id = options.iter().find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
        _ => None,
    });
    id.filter(|_| has_name)
}
