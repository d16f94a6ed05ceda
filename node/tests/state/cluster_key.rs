//! The cluster key: one file, one key, and clear messages about anything else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lsb_core::ObjectId;
use lsb_core::seal::LedgerShare;
use node::cluster_key::{ClusterKey, ClusterKeyError, WrappedShare};
use raft_core::NodeId;

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn servers_that_start_at_once_share_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not/yet/there/cluster.key");
    let keys: BTreeSet<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| ClusterKey::create_or_load(&path).unwrap().cluster_id()))
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert_eq!(keys.len(), 1);
    let files: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(files.len(), 1, "nothing unfinished is left: {files:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(
        ClusterKey::load(&path).unwrap().cluster_id(),
        *keys.first().unwrap()
    );
}

#[test]
fn the_error_says_what_is_wrong_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.key");
    let error = |path: &Path| ClusterKey::load(path).unwrap_err();

    assert!(matches!(error(&path), ClusterKeyError::Missing { .. }));
    ClusterKey::create_or_load(&path).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    assert_eq!(good.lines().count(), 2);

    write(&path, &good, 0o644);
    #[cfg(unix)]
    {
        assert!(matches!(
            error(&path),
            ClusterKeyError::Exposed { mode: 0o644, .. }
        ));
        assert!(error(&path).to_string().contains("chmod 600"));
        write(&path, &good, 0o620);
        assert!(matches!(error(&path), ClusterKeyError::Exposed { .. }));
    }
    write(&path, &good[..good.len() - 3], 0o600);
    assert!(matches!(error(&path), ClusterKeyError::Length { found: 62, .. }));
    write(&path, &good.replace("version 1", "version 2"), 0o600);
    assert!(matches!(error(&path), ClusterKeyError::Version { .. }));
    let digits = good.lines().nth(1).unwrap();
    for not_a_key in [
        String::new(),
        "hello\n".to_owned(),
        digits.to_owned(),
        format!("{good}{digits}\n"),
        good.replace(digits, &format!("x{}", &digits[1..])),
        "\u{0}".repeat(10_000),
    ] {
        write(&path, &not_a_key, 0o600);
        assert!(
            matches!(
                error(&path),
                ClusterKeyError::NotAKey { .. } | ClusterKeyError::Length { .. }
            ),
            "{not_a_key:?}"
        );
    }
    // Windows' line ends and a missing last one are accepted.
    for harmless in [good.replace('\n', "\r\n"), good.trim_end().to_owned()] {
        write(&path, &harmless, 0o600);
        ClusterKey::load(&path).unwrap();
    }
}

#[test]
fn every_use_has_a_key_of_its_own() {
    let key = ClusterKey::from_bytes([1; 32]);
    let secrets = [
        *key.authority_seed(),
        *key.leaf_seed(NodeId::new(1)),
        *key.leaf_seed(NodeId::new(2)),
        *key.receipt_key().expose_bytes(),
        *key.exchange_key().expose_bytes(),
        [1; 32],
    ];
    assert_eq!(secrets.iter().collect::<BTreeSet<_>>().len(), secrets.len());
    assert_ne!(ClusterKey::from_bytes([2; 32]).cluster_id(), key.cluster_id());
    assert_ne!(ClusterKey::from_bytes([2; 32]).group(), key.group());
}

/// Derived values are on disks and in certificates: they must never change.
#[test]
fn derivations_are_pinned() {
    let key = ClusterKey::from_bytes([1; 32]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let wrapped = key.wrap_share(ObjectId::from_bytes([3; 16]), &LedgerShare::from_bytes([4; 32]));
    let pinned = [
        ("cluster", key.cluster_id().to_string()),
        ("group", key.group().to_string()),
        ("authority", hex(&*key.authority_seed())),
        ("leaf", hex(&*key.leaf_seed(NodeId::new(5)))),
        ("receipts", key.receipt_key().public().to_string()),
        ("exchange", key.exchange_key().public().to_string()),
        ("wrapped", hex(wrapped.as_bytes())),
    ];
    let text: String = pinned
        .iter()
        .map(|(name, value)| format!("{name} {value}\n"))
        .collect();
    assert_eq!(text, include_str!("../golden/cluster_key.txt"));
}

#[test]
fn a_wrapped_share_opens_only_under_its_key_for_its_object_and_unchanged() {
    let key = ClusterKey::from_bytes([1; 32]);
    let (object, other) = (ObjectId::from_bytes([3; 16]), ObjectId::from_bytes([4; 16]));
    let share = LedgerShare::from_bytes([5; 32]);
    let wrapped = key.wrap_share(object, &share);
    assert_eq!(
        key.unwrap_share(object, &wrapped).unwrap().expose_bytes(),
        share.expose_bytes()
    );
    assert_eq!(
        key.wrap_share(object, &share),
        wrapped,
        "a retry wraps the same way"
    );

    assert!(key.unwrap_share(other, &wrapped).is_err());
    assert!(
        ClusterKey::from_bytes([2; 32])
            .unwrap_share(object, &wrapped)
            .is_err()
    );
    for bit in 0..WrappedShare::LENGTH * 8 {
        let mut bytes = *wrapped.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(
            key.unwrap_share(object, &WrappedShare::from_bytes(bytes))
                .is_err()
        );
    }
    // Two different shares never have the same nonce.
    let nonce = |share: u8| {
        key.wrap_share(object, &LedgerShare::from_bytes([share; 32]))
            .as_bytes()[..12]
            .to_vec()
    };
    assert_eq!((0..=255).map(nonce).collect::<BTreeSet<_>>().len(), 256);
}

#[test]
fn a_cluster_key_is_never_shown() {
    let shown = format!("{:?}", ClusterKey::from_bytes([0xAB; 32]));
    assert!(!shown.to_lowercase().contains("abab"), "{shown}");
    assert!(!shown.contains("171"), "{shown}");
}
