//! Limits on the requests of one device, and of all together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::StatusCode;
use lsb_core::PublicKey;

use super::error::ApiError;

/// How many requests of one device may be in progress at a time.
const REQUESTS_PER_DEVICE: usize = 64;

type Counts = Arc<Mutex<HashMap<PublicKey, usize>>>;

/// Counts the requests that each device has in progress. It counts by device and not by name, because a signature
/// proves the device, and only the ledger knows the name. So a device cannot use up another's share.
#[derive(Clone, Debug, Default)]
pub(super) struct PerDevice {
    under_way: Counts,
}

/// One request that is in progress; dropped when it is over.
#[derive(Debug)]
pub(super) struct InProgress {
    device: PublicKey,
    under_way: Counts,
}

impl PerDevice {
    /// Counts one more request that this device has signed, or refuses it.
    pub(super) fn enter(&self, device: PublicKey) -> Result<InProgress, ApiError> {
        let mut counts = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(device).or_default();
        if *count >= REQUESTS_PER_DEVICE {
            let message = format!("this device has {REQUESTS_PER_DEVICE} requests in progress, the limit");
            return Err(too_many(message).limit(REQUESTS_PER_DEVICE as u64));
        }
        *count += 1;
        Ok(InProgress {
            device,
            under_way: Arc::clone(&self.under_way),
        })
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut counts = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.device) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.device);
            }
        }
    }
}

/// So many events a second on average, and so many at once (a token bucket).
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    at_once: f64,
    /// How many more events may happen, as of when.
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

    /// Counts one more event, or refuses it.
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
    fn one_device_cannot_take_everything() {
        let (one, other) = (PublicKey::from_bytes([1; 32]), PublicKey::from_bytes([2; 32]));
        let devices = PerDevice::default();
        let entered: Vec<_> = (0..REQUESTS_PER_DEVICE)
            .map(|_| devices.enter(one).unwrap())
            .collect();
        assert!(devices.enter(one).is_err());
        assert!(devices.enter(other).is_ok());
        drop(entered);
        assert!(devices.enter(one).is_ok());
        assert!(devices.under_way.lock().unwrap().is_empty());
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
