//! Filters of a clsact qdisc.

use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};
use veth_common::Ifindex;

use super::{Netlink, NetlinkError};

impl Netlink {
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
        let ours = filters.iter().find(|message| {
            let theirs = message.header.handle;
            // The upper half is the priority, the lower one the protocol.
            (message.header.info >> 16, theirs.major, theirs.minor)
                == (u32::from(priority), 0, handle)
        });
        Ok(ours.and_then(|message| program_of(message, name)))
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
        // Each priority is listed once more by itself, without a handle.
        Ok(filters.filter(|message| message.header.handle != TcHandle::UNSPEC).collect())
    }
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
