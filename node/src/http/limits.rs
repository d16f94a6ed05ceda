//! How much one user, and everybody together, may ask for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::StatusCode;
use lsb_core::envelope::UserName;

use super::error::ApiError;

/// Requests of one user that may be under way at a time.
const REQUESTS_PER_USER: usize = 64;

/// Counts what each user has under way.
#[derive(Clone, Debug, Default)]
pub(super) struct PerUser {
    under_way: Arc<Mutex<HashMap<UserName, usize>>>,
}

/// One request that is under way; dropped when it is over.
#[derive(Debug)]
pub(super) struct UnderWay {
    user: UserName,
    under_way: Arc<Mutex<HashMap<UserName, usize>>>,
}

impl PerUser {
    /// Counts one more request of this user, or refuses it.
    pub(super) fn enter(&self, user: &UserName) -> Result<UnderWay, ApiError> {
        let mut counts = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(user.clone()).or_default();
        if *count >= REQUESTS_PER_USER {
            let message = format!("{user} has {REQUESTS_PER_USER} requests under way, which is the limit");
            return Err(too_many(message).limit(REQUESTS_PER_USER as u64));
        }
        *count += 1;
        Ok(UnderWay {
            user: user.clone(),
            under_way: Arc::clone(&self.under_way),
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut counts = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

/// So many events a second on average, and so many at once (a token bucket).
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    at_once: f64,
    /// What may still happen, as of when.
    left: Mutex<(f64, Instant)>,
}

impl Rate {
    pub(super) fn new(per_second: u32, at_once: u32) -> Self {
        let at_once = f64::from(at_once);
        Self {
            per_second: f64::from(per_second),
            at_once,
            left: Mutex::new((at_once, Instant::now())),
        }
    }

    /// Lets one more event happen, or refuses it.
    pub(super) fn take(&self, what: &str) -> Result<(), ApiError> {
        self.take_at(Instant::now())
            .then_some(())
            .ok_or_else(|| too_many(format!("too many {what} at once")))
    }

    fn take_at(&self, now: Instant) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = now.saturating_duration_since(left.1).as_secs_f64() * self.per_second;
        let available = (left.0 + gained).min(self.at_once);
        let granted = available >= 1.0;
        *left = (if granted { available - 1.0 } else { available }, now);
        granted
    }
}

fn too_many(message: String) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", message).retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_user_cannot_take_everything() {
        let (alice, bob) = (UserName::parse("alice").unwrap(), UserName::parse("bob").unwrap());
        let users = PerUser::default();
        let entered: Vec<_> = (0..REQUESTS_PER_USER)
            .map(|_| users.enter(&alice).unwrap())
            .collect();
        assert!(users.enter(&alice).is_err());
        assert!(users.enter(&bob).is_ok());
        drop(entered);
        assert!(users.enter(&alice).is_ok());
        assert!(users.under_way.lock().unwrap().is_empty());
    }

    #[test]
    fn a_rate_allows_a_burst_and_then_its_average() {
        let rate = Rate::new(2, 3);
        let start = Instant::now();
        assert_eq!((0..5).filter(|_| rate.take_at(start)).count(), 3);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..5).filter(|_| rate.take_at(later)).count(), 2);
        let much_later = start + Duration::from_secs(100);
        assert_eq!((0..5).filter(|_| rate.take_at(much_later)).count(), 3);
    }
}
