//! Filters on the ingress side of a clsact qdisc.

use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};
use veth_common::Ifindex;

use super::{Netlink, NetlinkError};

impl Netlink {
    /// Id of the program of the bpf filter called `name` at the ingress of `ifindex`, or `None`
    /// when there is no such filter, or no qdisc that could have one.
    ///
    /// # Minimum kernel version
    ///
    /// 4.13 (`TCA_BPF_ID`).
    pub fn ingress_program(
        &mut self,
        ifindex: Ifindex,
        name: &str,
    ) -> Result<Option<u32>, NetlinkError> {
        let mut message = TcMessage::default();
        message.header.index = ifindex.0.cast_signed();
        message.header.parent = TcHandle { major: u16::MAX, minor: TcHandle::MIN_INGRESS };
        let answer = self.dump(&RouteNetlinkMessage::GetTrafficFilter(message), || {
            format!("list ingress filters of link {}", ifindex.0)
        });
        let filters = match answer {
            Ok(filters) => filters,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(filters.into_iter().find_map(|message| match message {
            RouteNetlinkMessage::NewTrafficFilter(message) => program_of(&message, name),
            _ => None,
        }))
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
