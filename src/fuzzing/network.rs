//! Targets for answers of the kernel, Docker and resolvers.

use futures_util::FutureExt;
use hickory_proto::op::{Message as DnsMessage, Query};
use hickory_proto::rr::{Name, RecordType};

use super::assert_plain;
use crate::effects::dns;
use crate::netfilter::{self, removal};
use crate::netlink::messages;
use crate::sources::docker::{http, read};
use crate::sources::links::table::Draft;
use crate::sources::silence::filter;

/// Docker's answers: HTTP, and the contents of their bodies.
pub(super) fn docker(data: &[u8]) {
    let body = match http::answer(data).now_or_never() {
        Some(Ok(body)) => body,
        Some(Err(error)) => return assert_plain(&error.to_string()),
        None => panic!("all of the answer is there, and it waits"),
    };
    assert!(data.ends_with(&body), "the body is what follows the head");
    let version = read::version(&body).unwrap_or_default();
    let _ = (read::backend(&body, &version), read::published(&body));
    for network in read::networks(&body).unwrap_or_default() {
        network.bridge.iter().for_each(|bridge| assert_plain(bridge.as_str()));
    }
}

/// The kernel's messages about links, addresses, routes and netfilter; and a packet.
pub(super) fn netlink(data: &[u8]) {
    let mut draft = Draft::default();
    for message in messages(data).map_while(Result::ok) {
        draft.add(message.message_type(), message.payload());
    }
    let table = draft.finish();
    assert!(table.links.is_sorted_by_key(|link| link.index));
    for change in netfilter::parse(data).unwrap_or_default() {
        assert_plain(&change.by.name);
    }
    let _ = (removal::answers(data), filter::flow(data));
}

/// A resolver's answer to a query.
pub(super) fn resolver(data: &[u8]) {
    let Ok(name) = Name::from_ascii("vpn.example.net.") else { return };
    let mut question = DnsMessage::query();
    question.metadata.id = 0x4242;
    question.add_query(Query::query(name.clone(), RecordType::A));
    if let Some(answer) = dns::parse(&question, data) {
        assert!(dns::addresses(&answer, &name).len() <= answer.answers.len());
    }
}
