//! Derives certificates from the one cluster key, and makes TLS configurations of them.
//!
//! Every server derives the same certificate authority from the cluster key, and from it a leaf certificate for itself.
//! Ed25519 signatures are deterministic (RFC 8032), so any server can also compute the certificate of any other server,
//! byte by byte. A name in a [greeting](crate::transport) is checked that way. Nothing needs to be issued, stored or
//! renewed; to lock a stolen key out, change the cluster key.

use std::net::IpAddr;
use std::sync::Arc;

use raft_core::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::cluster_key::ClusterKey;
use crate::settings::Address;

/// The name in every consensus certificate. A server that dials an address cannot know which server will answer there,
/// so all share one name, and the greeting says which server it is. RFC 6761 reserves `.invalid`, so that the name
/// cannot collide.
const CONSENSUS_NAME: &str = "consensus.raft-lsb.invalid";

/// Both sides must speak this protocol, which keeps other TLS services from being mistaken for a server of ours.
const CONSENSUS_PROTOCOL: &[u8] = b"raft-lsb/1";

const HTTP_PROTOCOL: &[u8] = b"http/1.1";

/// Why a certificate or a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate could not be made: the host name does not fit into one, or our code is wrong.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The configuration was rejected.
    #[error("cannot configure TLS: {0}")]
    Configuration(#[from] rustls::Error),
    /// The verifier of peers was rejected.
    #[error("cannot configure TLS: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The file does not hold a certificate.
    #[error("this is not a certificate in PEM form: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
}

/// The cluster's certificate authority.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's own certificate and key.
struct Leaf {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    /// Derives the authority.
    ///
    /// # Errors
    ///
    /// None that we know of; the libraries' signatures allow for them.
    pub(crate) fn derive(key: &ClusterKey) -> Result<Self, TlsError> {
        let mut params = CertificateParams::default();
        // The cluster's id is in the name, so that a certificate of another cluster is reported as one of an unknown
        // authority.
        params.distinguished_name = named(format!("raft-lsb cluster {}", key.cluster_id()));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pair = key_pair(&key.authority_seed())?;
        let certificate = params.self_signed(&pair)?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.into(),
            issuer: Issuer::new(params, pair),
        })
    }

    /// Returns the authority's certificate, which is given to clients on other machines. It contains no secret.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Makes the certificate that identifies this server to the others.
    ///
    /// # Errors
    ///
    /// As for [`derive`](Self::derive).
    pub(crate) fn consensus_certificate(
        &self,
        key: &ClusterKey,
        node: NodeId,
    ) -> Result<CertificateDer<'static>, TlsError> {
        Ok(self.consensus_leaf(key, node)?.certificate)
    }

    /// Makes the configurations with which servers accept and dial each other: TLS 1.3 with certificates on both sides.
    ///
    /// # Errors
    ///
    /// As for [`derive`](Self::derive).
    pub(crate) fn consensus(
        &self,
        key: &ClusterKey,
        node: NodeId,
    ) -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), TlsError> {
        let leaf = self.consensus_leaf(key, node)?;
        let roots = Arc::new(roots([self.certificate.clone()])?);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider()).build()?;
        let mut accept = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![leaf.certificate.clone()], leaf.key.clone_key())?;
        accept.alpn_protocols = vec![CONSENSUS_PROTOCOL.to_vec()];
        // Links live long; resuming one would only keep secrets in memory.
        accept.send_tls13_tickets = 0;
        let mut dial = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![leaf.certificate], leaf.key)?;
        dial.alpn_protocols = vec![CONSENSUS_PROTOCOL.to_vec()];
        dial.resumption = Resumption::disabled();
        Ok((Arc::new(accept), Arc::new(dial)))
    }

    /// Makes the configuration with which this server serves clients on other machines.
    ///
    /// # Errors
    ///
    /// The host name does not fit into a certificate.
    pub(crate) fn clients(
        &self,
        key: &ClusterKey,
        node: NodeId,
        address: &Address,
        listen: IpAddr,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let mut names = vec![
            address.bare_host(),
            "localhost".into(),
            "127.0.0.1".into(),
            "::1".into(),
        ];
        if !listen.is_unspecified() {
            names.push(listen.to_string());
        }
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = named(format!("raft-lsb server {address}"));
        let leaf = self.leaf(params, &[ExtendedKeyUsagePurpose::ServerAuth], key, node)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.certificate], leaf.key)?;
        config.alpn_protocols = vec![HTTP_PROTOCOL.to_vec()];
        Ok(Arc::new(config))
    }

    fn consensus_leaf(&self, key: &ClusterKey, node: NodeId) -> Result<Leaf, TlsError> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::DnsName(CONSENSUS_NAME.try_into()?)];
        params.distinguished_name = named(format!("raft-lsb node {:016x}", node.value()));
        let both = [
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.leaf(params, &both, key, node)
    }

    fn leaf(
        &self,
        mut params: CertificateParams,
        uses: &[ExtendedKeyUsagePurpose],
        key: &ClusterKey,
        node: NodeId,
    ) -> Result<Leaf, TlsError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = uses.to_vec();
        let pair = key_pair(&key.leaf_seed(node))?;
        let certificate = params.signed_by(&pair, &self.issuer)?;
        Ok(Leaf {
            certificate: certificate.into(),
            key: PrivatePkcs8KeyDer::from(pair.serialize_der()).into(),
        })
    }
}

/// Makes the configuration with which a client verifies a server on another machine: by the authority's certificate,
/// which its operator has handed out.
///
/// # Errors
///
/// The text is not a certificate.
pub(crate) fn client_trusting(authority_pem: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    let certificate = CertificateDer::from_pem_slice(authority_pem)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots([certificate])?)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP_PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

/// Returns the name to expect of any server on a consensus port.
pub(crate) fn consensus_name() -> ServerName<'static> {
    ServerName::try_from(CONSENSUS_NAME).expect("the constant is a host name")
}

/// Whether the two ends hold different cluster keys, judged by how their handshake failed. Either end may detect it;
/// the other one receives an alert.
pub(crate) fn is_foreign_cluster(error: &std::io::Error) -> bool {
    use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(reason)) => {
            matches!(
                reason,
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            )
        }
        Some(Error::AlertReceived(alert)) => matches!(
            alert,
            AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::DecryptError
        ),
        Some(Error::PeerIncompatible(PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon)) => {
            false
        }
        _ => false,
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate)?;
    }
    Ok(store)
}

fn named(common_name: String) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Makes an Ed25519 key pair from its seed, by way of the only form that the library reads: PKCS #8 (RFC 8410 §7).
fn key_pair(seed: &[u8; 32]) -> Result<KeyPair, TlsError> {
    const PREFIX: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ];
    let mut document = zeroize::Zeroizing::new([0_u8; PREFIX.len() + 32]);
    document[..PREFIX.len()].copy_from_slice(&PREFIX);
    document[PREFIX.len()..].copy_from_slice(seed);
    let document = PrivatePkcs8KeyDer::from(document.as_slice());
    Ok(KeyPair::from_pkcs8_der_and_sign_algo(&document, &PKCS_ED25519)?)
}
