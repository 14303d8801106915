//! Readings that count only when a recorder has them.

use aldis_world::broker::codec::{PacketType, Qos};
use aldis_world::broker::{Config, Keep};

use super::rig::{Rig, settings};
use crate::Settings;

const ACK: &str = "aldis/kitchen/climate/ack";

fn rig() -> Rig {
    let settings = Settings {
        confirm: true,
        ..settings()
    };
    Rig::start(settings, Config::default())
}

fn ack(rig: &mut Rig, seq: u32) {
    rig.publish(ACK, &seq.to_string(), Qos::AtLeastOnce);
}

#[test]
fn readings_are_kept_until_they_are_confirmed() {
    let mut rig = rig();
    rig.wait(60_500);
    assert_eq!(rig.device().backlog(), 13);
    ack(&mut rig, 10);
    assert_eq!(rig.device().backlog(), 3);
    ack(&mut rig, 9);
    assert_eq!(rig.device().backlog(), 3);
    ack(&mut rig, 13);
    assert_eq!(rig.device().backlog(), 0);
    rig.wait(60_000);
    assert_eq!(
        rig.seqs(),
        (1..=25).collect::<Vec<u32>>(),
        "each of them once"
    );
}

/// A recorder that keeps up is sent nothing twice.
#[test]
fn nothing_is_sent_again_to_a_recorder_that_keeps_up() {
    let mut rig = rig();
    for _ in 0..1_000 {
        rig.wait(5_000);
        let last = *rig.seqs().last().unwrap();
        ack(&mut rig, last.saturating_sub(1));
    }
    let seqs = rig.seqs();
    assert_eq!(seqs, (1..=seqs.len() as u32).collect::<Vec<u32>>());
    assert!(rig.device().backlog() <= 2);
}

/// The broker acknowledged readings and died before the recorder had them.
#[test]
fn what_the_broker_lost_is_sent_again() {
    let mut rig = rig();
    rig.wait(10_500);
    ack(&mut rig, 3);
    rig.wait(50_000);
    let lost = *rig.seqs().last().unwrap();
    rig.broker.restart(Keep::Nothing, rig.now);
    rig.wait(100);
    rig.until_connected();
    let before = rig.log.len();
    rig.wait(20_000);
    // The recorder has the newer ones, and asks for the rest.
    ack(&mut rig, 3);
    rig.wait(100);
    ack(&mut rig, 3);
    rig.wait(10);
    rig.log.drain(..before);
    let again = rig.seqs();
    let expected: Vec<u32> = (4..=lost).collect();
    let at = again.iter().position(|seq| *seq == 4).expect("they come");
    assert_eq!(again[at..at + expected.len()], expected);
    rig.assert_ages();
    let last = rig.board.saved.seq - 1;
    ack(&mut rig, last);
    assert_eq!(rig.device().backlog(), 0);
}

/// A recorder that was away reads what its broker kept for it, one by one:
/// what it has not come to is not lost.
#[test]
fn a_recorder_that_catches_up_is_sent_nothing_twice() {
    let mut rig = rig();
    rig.wait(200_500);
    for seq in 1..=40 {
        ack(&mut rig, seq);
        rig.wait(100);
    }
    let seqs = rig.seqs();
    assert_eq!(seqs, (1..=seqs.len() as u32).collect::<Vec<u32>>());
}

/// A recorder that can never have what the device has no longer, and says so
/// for ever, must not be sent the same readings for ever.
#[test]
fn a_recorder_that_is_stuck_is_not_flooded() {
    let mut rig = rig();
    rig.wait(10_500);
    ack(&mut rig, 1);
    let start = rig.seqs().len();
    for _ in 0..4_320 {
        rig.wait(5_000);
        ack(&mut rig, 1);
    }
    let recorded = (rig.board.saved.seq - 1) as usize;
    let sent = rig.seqs().len() - start;
    assert!(sent > recorded, "they are sent again at all");
    assert!(
        sent < 2 * recorded,
        "{sent} publications for {recorded} readings"
    );
    rig.assert_ages();
}

/// Progress makes the device send at once what is lost next.
#[test]
fn losses_are_mended_soon_each_time() {
    let mut rig = rig();
    rig.wait(10_500);
    for _ in 0..20 {
        let last = rig.board.saved.seq - 1;
        ack(&mut rig, last);
        rig.wait(60_000);
        let sent = rig.seqs().len();
        ack(&mut rig, last);
        rig.wait(10);
        assert!(rig.seqs().len() >= sent + 8, "after {last}");
    }
}

/// Kept by a broker from an earlier life of the device, such a confirmation
/// would throw away what nobody has.
#[test]
fn a_number_that_was_never_given_confirms_nothing() {
    let mut rig = rig();
    rig.wait(60_500);
    ack(&mut rig, 1_000);
    assert_eq!(rig.device().backlog(), 13);
    ack(&mut rig, u32::MAX);
    assert_eq!(rig.device().backlog(), 13);
    ack(&mut rig, 14);
    assert_eq!(rig.device().backlog(), 13);
    assert_eq!(rig.ignored().len(), 3);
    assert!(rig.ignored().iter().all(|(topic, _)| *topic == ACK));
    ack(&mut rig, 13);
    assert_eq!(rig.device().backlog(), 0);
}

#[test]
fn what_is_no_number_confirms_nothing() {
    let mut rig = rig();
    rig.wait(60_500);
    for wrong in ["", "13 ", "-1", "99999999999", "on"] {
        rig.publish(ACK, wrong, Qos::AtLeastOnce);
    }
    assert_eq!(rig.device().backlog(), 13);
    assert_eq!(rig.ignored().len(), 5);
}

/// The recorder was faster than the broker's acknowledgement.
#[test]
fn what_is_confirmed_while_under_way_is_not_sent_again() {
    let mut rig = rig();
    rig.wait(7_000);
    rig.broker.withhold(PacketType::PubAck, 0, u32::MAX);
    rig.wait(3_500);
    assert_eq!(rig.seqs(), [1, 2, 3]);
    ack(&mut rig, 3);
    assert_eq!(rig.device().backlog(), 0);
    rig.broker.withhold_nothing();
    rig.begin_outage();
    rig.wait(100_000);
    rig.end_outage();
    rig.wait(10);
    let seqs = rig.seqs();
    assert_eq!(seqs, (1..=seqs.len() as u32).collect::<Vec<u32>>());
    rig.assert_ages();
}

/// Without the setting nobody can make the device forget anything.
#[test]
fn without_confirmations_none_are_subscribed() {
    let mut rig: Rig = Rig::start(settings(), Config::default());
    rig.wait(10_500);
    let session = rig.broker.session("kitchen").unwrap();
    assert!(
        session
            .subscriptions
            .iter()
            .all(|(filter, _)| filter != ACK)
    );
    assert_eq!(rig.device().backlog(), 0);
}

/// A recorder that is away for long: the newest readings are kept.
#[test]
fn without_a_recorder_the_newest_are_kept() {
    let mut rig = rig();
    rig.wait(3_600_000);
    assert_eq!(rig.device().backlog(), 64);
    let superseded = rig.diag(|diag| diag.dropped.unwrap().superseded.unwrap());
    assert!(superseded > 600);
    let last = rig.board.saved.seq - 1;
    ack(&mut rig, last);
    assert_eq!(rig.device().backlog(), 0);
}
