//! Mode `sealed`, file to file: what comes out is byte for byte what went in.

mod fixtures;

use fixtures::{Fixture, denied_picture, photo};
use lsb_core::{Limits, picture, seal, upload};

#[test]
fn every_photograph_comes_out_as_it_went_in() {
    for name in ["chelsea.png", "rocket.jpg", "grace_hopper.jpg"] {
        let original = photo(name);
        let fixture = Fixture::new();
        let sealed = fixture.seal(&original, &denied_picture());
        let started = std::time::Instant::now();
        let file = picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap();
        let envelope = picture::extract(&file, &Limits::DEFAULT).unwrap();
        println!(
            "{name}: {} -> {} bytes, {:?}",
            original.len(),
            file.len(),
            started.elapsed()
        );
        assert_eq!(envelope, sealed.envelope);
        envelope.verify_signature().unwrap();
        let opened = seal::open(&envelope, &sealed.ledger_share).unwrap();
        assert_eq!(opened.bytes, original);
        let upload = upload::inspect(&original, &Limits::DEFAULT).unwrap();
        assert_eq!(opened.metadata.media_type, upload.media_type);
        assert_eq!(opened.metadata.size, upload.size);
        assert_eq!(envelope.denied_picture(), denied_picture());
    }
}
