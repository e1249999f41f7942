use hickory_proto::op::OpCode;
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::{A, CNAME};

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn question() -> Message {
    let mut question = Message::query();
    question.add_query(Query::query(name("vpn.example.net."), RecordType::A));
    question
}

fn answer_to(question: &Message) -> Message {
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.add_queries(question.queries.clone());
    answer
}

fn a(owner: &str, address: [u8; 4]) -> Record {
    Record::from_rdata(name(owner), 60, RData::A(A(address.into())))
}

#[test]
fn only_an_answer_to_the_same_question_counts() {
    let question = question();
    let good = answer_to(&question).to_vec().unwrap();
    assert!(parse(&question, &good).is_some());
    assert!(parse(&question, &good[..5]).is_none(), "cut short");
    assert!(parse(&question, &question.to_vec().unwrap()).is_none(), "the question itself");
    let mut other = answer_to(&question);
    other.metadata.id = other.metadata.id.wrapping_add(1);
    assert!(parse(&question, &other.to_vec().unwrap()).is_none(), "another number");
    let mut other = answer_to(&question);
    other.queries[0].set_name(name("evil.example.net."));
    assert!(parse(&question, &other.to_vec().unwrap()).is_none(), "another question");
}

#[test]
fn addresses_of_the_name_and_of_its_aliases_count() {
    let question = question();
    let mut answer = answer_to(&question);
    let alias = RData::CNAME(CNAME(name("a7.example.org.")));
    answer.add_answer(Record::from_rdata(name("VPN.example.net."), 60, alias));
    answer.add_answer(a("a7.example.org.", [198, 51, 100, 7]));
    answer.add_answer(a("bystander.example.org.", [203, 0, 113, 1]));
    let answer = Message::from_vec(&answer.to_vec().unwrap()).unwrap();
    let found = addresses(&answer, &name("vpn.example.net."));
    assert_eq!(found, ["198.51.100.7".parse::<IpAddr>().unwrap()]);
}

#[test]
fn a_lookup_ends_at_a_loop_of_aliases() {
    let question = question();
    let mut answer = answer_to(&question);
    for (from, to) in [("vpn.example.net.", "b.example.net."), ("b.example.net.", "vpn.example.net.")] {
        answer.add_answer(Record::from_rdata(name(from), 60, RData::CNAME(CNAME(name(to)))));
    }
    assert!(addresses(&answer, &name("vpn.example.net.")).is_empty());
}
