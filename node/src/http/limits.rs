//! Limits on the requests of one address, of one device, and of all together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::Method;
use lsb_core::PublicKey;

use super::error::ApiError;
use super::turned_away::Limit;
use crate::rates::{PerSource, Rate, Shared, Source};
use crate::settings::{FIRST_DENIALS, FIRST_NAMES_OF_ALL, FIRST_NAMES_OF_AN_ADDRESS, ServiceLimits};

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
            return Err(ApiError::too_many(Limit::Device, message).limit(REQUESTS_PER_DEVICE as u64));
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

/// The rates of requests.
#[derive(Debug)]
pub(super) struct Gate {
    reads: PerSource,
    unsigned: PerSource,
    strangers: Shared,
    devices: PerSource,
    names: PerSource,
    all_names: Shared,
    denials: Shared,
    denials_of_a_device: PerSource,
}

/// How many times as many requests may come at once as in a second.
const AT_ONCE: u32 = 10;

/// How many requests that cost no signature an address may send for each that does.
const READS: u32 = 10;

/// How many questions of strangers a second the consensus thread answers, and at once.
const STRANGERS_PER_SECOND: u32 = 1000;

/// How many denials a minute are recorded for one device that is not listed, and at once.
const DENIALS_OF_A_DEVICE: (u32, u32) = (6, 30);

impl Gate {
    pub(super) fn new(limits: &ServiceLimits) -> Self {
        let per_second = |events: u32| Rate::per_second(f64::from(events), events.saturating_mul(AT_ONCE));
        Self {
            reads: PerSource::new(per_second(limits.requests_per_second.saturating_mul(READS))),
            unsigned: PerSource::new(per_second(limits.requests_per_second)),
            strangers: Shared::new(per_second(STRANGERS_PER_SECOND)),
            devices: PerSource::new(per_second(limits.device_requests_per_second)),
            names: PerSource::new(Rate::per_minute(
                limits.enrolments_per_minute,
                FIRST_NAMES_OF_AN_ADDRESS,
            )),
            all_names: Shared::new(Rate::per_minute(
                limits.cluster_enrolments_per_minute,
                FIRST_NAMES_OF_ALL,
            )),
            denials: Shared::new(Rate::per_minute(limits.denials_per_minute, FIRST_DENIALS)),
            denials_of_a_device: PerSource::new(Rate::per_minute(
                DENIALS_OF_A_DEVICE.0,
                DENIALS_OF_A_DEVICE.1,
            )),
        }
    }

    /// Counts a request before anything of it is read or verified. A request that an enrolled device has signed is
    /// [taken back](Self::proved) later.
    pub(super) fn arrived(&self, from: Source, method: &Method) -> Result<(), ApiError> {
        let now = Instant::now();
        let granted = match method.is_safe() {
            true => self.reads.take(&from, now),
            false => self.unsigned.take(&from, now),
        };
        refuse_unless(
            granted,
            Limit::Address,
            "too many requests from this address; slow down",
        )
    }

    /// Counts a request for its device, and no longer for its address.
    pub(super) fn proved(&self, from: Source, device: &PublicKey) -> Result<(), ApiError> {
        self.unsigned.give_back(&from);
        let granted = self.devices.take(device, Instant::now());
        refuse_unless(
            granted,
            Limit::Device,
            "too many requests of this device; slow down",
        )
    }

    /// Counts a question of a stranger for the consensus thread.
    pub(super) fn stranger(&self) -> Result<(), ApiError> {
        let granted = self.strangers.take(Instant::now());
        let message = "too many requests of devices that are not enrolled; try again in a moment";
        refuse_unless(granted, Limit::Strangers, message)
    }

    /// Counts a new name.
    pub(super) fn name(&self, from: Source) -> Result<(), ApiError> {
        let now = Instant::now();
        refuse_unless(
            self.names.take(&from, now),
            Limit::Names,
            "too many new names from this address; try again in a minute",
        )?;
        let message = "too many new names in this cluster; try again in a minute";
        refuse_unless(self.all_names.take(now), Limit::Names, message)
    }

    /// Counts a denial that is to be recorded.
    pub(super) fn denial(&self, device: &PublicKey) -> Result<(), ApiError> {
        let now = Instant::now();
        let granted = self.denials_of_a_device.take(device, now) && self.denials.take(now);
        let message = "this user may not view this picture, and too many such requests were made; this one was not \
                       recorded";
        refuse_unless(granted, Limit::Denials, message)
    }
}

fn refuse_unless(granted: bool, limit: Limit, message: &str) -> Result<(), ApiError> {
    granted
        .then_some(())
        .ok_or_else(|| ApiError::too_many(limit, message))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_an_enrolled_device_has_signed_does_not_count_for_its_address() {
        let limits = ServiceLimits {
            requests_per_second: 1,
            ..ServiceLimits::default()
        };
        let gate = Gate::new(&limits);
        let from = Source::of("10.0.0.1".parse().unwrap());
        let device = PublicKey::from_bytes([1; 32]);
        for _ in 0..100 {
            gate.arrived(from, &Method::POST).unwrap();
            gate.proved(from, &device).unwrap();
        }
        let unsigned = (0..100)
            .filter(|_| gate.arrived(from, &Method::POST).is_ok())
            .count();
        assert_eq!(unsigned, AT_ONCE as usize);
        assert!(gate.arrived(from, &Method::GET).is_ok());
    }
}
