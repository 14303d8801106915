//! A past for a device: readings with gaps, outages with their causes, messages.

use aldis_history::{
    Arrival, DeviceKey, Diag, History, HistoryError, Message, Report, Taken, What,
};
use aldis_protocol::{Availability, Lamp, MessageState, SensorState};

use crate::device::climate;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// Readings of a device that is not to fill the disk.
const EVERY_MS: i64 = 30_000;
const BATCH: usize = 5_000;

/// When contact was lost within each third day, for how long, and why.
const OUTAGES: [(i64, i64, &str); 3] = [(3, 4, "wifi"), (11, 25, "tcp"), (19, 180, "silent")];

/// Makes it.
pub async fn make(
    history: &History,
    key: &DeviceKey,
    place: usize,
    now: i64,
    days: i64,
) -> Result<(), HistoryError> {
    let start = now - days * DAY_MS;
    let arrival = |received_ms, what| Arrival {
        device: key.clone(),
        received_ms,
        received: None,
        what,
    };
    let mut batch = vec![
        arrival(start, What::Status(Availability::Online)),
        arrival(start, What::Sensor(SensorState::Ok)),
        arrival(start, What::Led(Lamp::Off)),
    ];
    let mut outages = Vec::new();
    let mut counters = [0_i64; 3];
    for day in (0..days).step_by(3) {
        let (hour, minutes, cause) = OUTAGES[(day as usize / 3 + place) % OUTAGES.len()];
        let from = start + day * DAY_MS + hour * 60 * MINUTE_MS;
        let to = from + minutes * MINUTE_MS;
        let which = OUTAGES
            .iter()
            .position(|(.., name)| *name == cause)
            .unwrap_or(0);
        let report = |counters: [i64; 3], at: i64| {
            let [wifi, tcp, silent] = counters;
            What::Diag(Box::new(Diag {
                life: 77,
                boot: 2,
                uptime_s: Some(((at - start) / 1000) as u64),
                body: format!(
                    r#"{{"uptime_s":{},"boot":2,"reset":"power","rssi_dbm":-63,"reconnects":{{"wifi":{wifi},"tcp":{tcp},"silent":{silent}}}}}"#,
                    (at - start) / 1000
                ),
                ..Diag::default()
            }))
        };
        batch.push(arrival(from - 30_000, report(counters, from - 30_000)));
        counters[which] += 1;
        batch.push(arrival(from, What::Status(Availability::Offline)));
        batch.push(arrival(to, What::Status(Availability::Online)));
        batch.push(arrival(to + 20_000, report(counters, to + 20_000)));
        outages.push(from..to);
        let lamp_ms = from + 2 * 60 * MINUTE_MS;
        batch.push(arrival(lamp_ms, What::Led(Lamp::On)));
        batch.push(arrival(lamp_ms + 90 * MINUTE_MS, What::Led(Lamp::Off)));
        let id = format!("past-{place}-{day}");
        let message = Message {
            id: Some(id.clone()),
            from: Some("hall".to_owned()),
            text: "Dinner is ready, come down!".to_owned(),
        };
        batch.push(arrival(lamp_ms, What::Message(message)));
        for (after, state) in [(200, MessageState::Received), (60_000, MessageState::Read)] {
            let report = Report {
                id: Some(id.clone()),
                state,
                at_ms: lamp_ms + after,
                reason: None,
            };
            batch.push(arrival(lamp_ms + after, What::MessageState(report)));
        }
    }
    let mut seq = 0;
    let mut at = start;
    while at < now - EVERY_MS {
        at += EVERY_MS;
        seq += 1;
        // What was read without contact came afterwards, but for the longest, of which the
        // oldest are lost.
        let hidden = outages.iter().any(|outage| {
            outage.contains(&at)
                && outage.end - outage.start > 60 * MINUTE_MS
                && at < outage.end - 40 * MINUTE_MS
        });
        if hidden {
            continue;
        }
        let taken = Taken {
            life: 77,
            seq,
            boot: 2,
            taken_ms: at,
            exact: true,
            reading: climate(at, place as u64 * 37),
        };
        batch.push(arrival(at, What::Reading(taken)));
        if batch.len() >= BATCH {
            history.commit(&batch).await?;
            batch.clear();
        }
    }
    history.commit(&batch).await?;
    if place == 1 {
        history.give_up(key, 77, seq).await?;
    }
    Ok(())
}
