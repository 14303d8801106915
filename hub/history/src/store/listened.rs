//! When recorders listened: what was told while none did may have been long ago.

use super::{Store, transaction};
use crate::arrival::moment;
use crate::error::HistoryError;
use crate::view::Listened;

impl Store {
    /// Notes a stretch in which a recorder listens, or that it went on.
    pub async fn listened(&self, listened: &Listened) -> Result<(), HistoryError> {
        transaction!(self, tx => {
            sqlx::query(
                "INSERT INTO listened (id, back_ms, from_ms, until_ms) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (id) DO UPDATE SET until_ms = excluded.until_ms \
                 WHERE excluded.until_ms > listened.until_ms",
            )
            .bind(listened.id)
            .bind(moment(listened.back_ms))
            .bind(moment(listened.from_ms))
            .bind(moment(listened.until_ms))
            .execute(&mut *tx)
            .await?;
        })
    }

    /// The stretches from a moment on, and the last one that ended before it.
    pub(super) async fn absences(&self, from: i64) -> Result<Absences, HistoryError> {
        let listened: Vec<(i64, i64, i64)> = sqlx::query_as(
            "SELECT back_ms, from_ms, until_ms FROM listened WHERE until_ms >= \
             coalesce((SELECT max(until_ms) FROM listened WHERE until_ms < $1), $1) \
             ORDER BY until_ms",
        )
        .bind(from)
        .fetch_all(self.reader())
        .await
        .map_err(|error| self.error(&error))?;
        Ok(Absences(listened))
    }
}

/// When nobody listened, told by the stretches in which somebody did.
pub(super) struct Absences(Vec<(i64, i64, i64)>);

impl Absences {
    /// Since when nobody had listened, if what was told at a moment had waited for a recorder.
    pub fn before(&self, at_ms: i64) -> Option<i64> {
        let waited = |&&(back_ms, from_ms, _): &&_| back_ms <= at_ms && at_ms <= from_ms;
        let back = self.0.iter().filter(waited).map(|of| of.0).min()?;
        // Another recorder that was there would have told it in time.
        let others = |&(_, from_ms, until_ms): &_| from_ms <= back && back <= until_ms;
        if self.0.iter().any(others) {
            return None;
        }
        let ends = self.0.iter().map(|of| of.2);
        ends.filter(|until_ms| *until_ms < back).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An outage that was seen would be told of as unseen, or the other way round.
    #[test]
    fn only_what_waited_for_all_recorders_is_from_before() {
        let alone = Absences(vec![(100, 110, 500), (900, 910, 1_500)]);
        for (at_ms, before) in [
            (50, None),
            // Nobody knows what was before the first.
            (105, None),
            (300, None),
            // It ended before its next sign of life.
            (505, None),
            (899, None),
            (900, Some(500)),
            (910, Some(500)),
            (911, None),
        ] {
            assert_eq!(alone.before(at_ms), before, "{at_ms}");
        }
        let two = Absences(vec![(100, 110, 500), (50, 60, 950), (900, 910, 1_500)]);
        assert_eq!(two.before(905), None);
        // Both were away.
        let two = Absences(vec![(100, 110, 500), (50, 60, 600), (900, 910, 1_500)]);
        assert_eq!(two.before(905), Some(600));
        // Both came back at the same time.
        let two = Absences(vec![(50, 60, 600), (890, 930, 930), (900, 910, 1_500)]);
        assert_eq!(two.before(905), Some(600));
    }
}
