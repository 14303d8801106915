//! Why contact was lost, told from the health reports before and after.

use aldis_history::{DeviceKey, History, HistoryError, Outage, StoredDiag};
use aldis_protocol::{Diag, Reconnects, ResetReason};

/// A device reports its health each minute; one that comes later than this tells of something
/// else as well.
const SOON_MS: i64 = 10 * 60_000;
/// Reports that are looked through for the first behind an outage.
const REPORTS: u32 = 1000;

/// The cause of an outage that began while the hub was away.
const HUB: &str = "hub";

/// Why contact was lost, if that can be told.
pub(crate) async fn of(
    history: &History,
    device: &DeviceKey,
    outage: &Outage,
) -> Result<Option<&'static str>, HistoryError> {
    // Whatever the device met with then, it began with nobody knows what.
    if outage.hub_away {
        return Ok(Some(HUB));
    }
    let Some(to_ms) = outage.to_ms else {
        return Ok(None);
    };
    let behind = history
        .diags(device, to_ms, to_ms.saturating_add(SOON_MS), REPORTS)
        .await?;
    let Some(after) = behind.last() else {
        return Ok(None);
    };
    let before = history
        .diags(device, 0, outage.from_ms.saturating_add(1), 1)
        .await?;
    Ok(between(before.first(), after))
}

/// What happened between two reports.
fn between(before: Option<&StoredDiag>, after: &StoredDiag) -> Option<&'static str> {
    let after = Diag::decode(after.diag.body.as_bytes()).ok()?;
    let before = before.and_then(|before| Diag::decode(before.diag.body.as_bytes()).ok());
    let started_again = before.is_some_and(|before| match (before.boot, after.boot) {
        (Some(before), Some(after)) => before != after,
        _ => before.uptime_s > after.uptime_s,
    });
    if started_again {
        return after.reset.map(ResetReason::as_str);
    }
    let before = before?.reconnects?;
    rose(before, after.reconnects?)
}

/// The counter that rose; of several, the one that made the others rise.
fn rose(before: Reconnects, after: Reconnects) -> Option<&'static str> {
    [
        ("wifi", before.wifi, after.wifi),
        ("dhcp", before.dhcp, after.dhcp),
        ("dns", before.dns, after.dns),
        ("taken_over", before.taken_over, after.taken_over),
        ("refused", before.refused, after.refused),
        ("broker", before.broker, after.broker),
        ("silent", before.silent, after.silent),
        ("tcp", before.tcp, after.tcp),
    ]
    .into_iter()
    .find(|(_, before, after)| after.unwrap_or(0) > before.unwrap_or(0))
    .map(|(name, ..)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(body: &str) -> StoredDiag {
        StoredDiag {
            at_ms: 0,
            diag: aldis_history::Diag {
                body: body.to_owned(),
                ..aldis_history::Diag::default()
            },
        }
    }

    /// The wrong cause is shown, and somebody buys a new access point.
    #[test]
    fn the_cause_is_what_changed_between_the_reports() {
        let first = r#"{"boot":3,"uptime_s":60,"reset":"power","reconnects":{"wifi":1,"tcp":2}}"#;
        for (before, after, cause) in [
            (
                Some(first),
                r#"{"boot":3,"reconnects":{"wifi":2,"tcp":3}}"#,
                Some("wifi"),
            ),
            (
                Some(first),
                r#"{"boot":3,"reconnects":{"wifi":1,"tcp":3}}"#,
                Some("tcp"),
            ),
            (
                Some(first),
                r#"{"boot":3,"reconnects":{"wifi":1,"tcp":2,"silent":1}}"#,
                Some("silent"),
            ),
            (
                Some(first),
                r#"{"boot":3,"reconnects":{"wifi":1,"tcp":2}}"#,
                None,
            ),
            (
                Some(first),
                r#"{"boot":4,"reset":"watchdog"}"#,
                Some("watchdog"),
            ),
            (Some(first), r#"{"boot":4}"#, None),
            (
                Some(r#"{"uptime_s":60}"#),
                r#"{"uptime_s":5,"reset":"panic"}"#,
                Some("panic"),
            ),
            (
                None,
                r#"{"boot":4,"reset":"power","reconnects":{"wifi":9}}"#,
                None,
            ),
            (
                Some("nonsense"),
                r#"{"boot":4,"reconnects":{"wifi":9}}"#,
                None,
            ),
            (Some(first), "nonsense", None),
        ] {
            let before = before.map(report);
            assert_eq!(between(before.as_ref(), &report(after)), cause, "{after}");
        }
    }
}
