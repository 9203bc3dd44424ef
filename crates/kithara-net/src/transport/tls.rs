//! TLS by rustls on ring, with the platform's certificates read when the first one must be verified.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// A TLS configuration that offers HTTP/2 and HTTP/1.1, and its verifier.
pub(super) fn config(extra_roots: &[Vec<u8>]) -> Result<(ClientConfig, Arc<LazyVerifier>), Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(LazyVerifier {
        provider: Arc::clone(&provider),
        extra_roots: extra_roots.iter().cloned().map(CertificateDer::from).collect(),
        loaded: OnceLock::new(),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        // "Dangerous" is any verifier but rustls's own; ours only decides when the platform's is made.
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, verifier))
}

/// The platform's verifier, made on first use.
///
/// Making it reads some 150 certificate files, which takes 5 ms: too long for a client that may never speak TLS.
pub(super) struct LazyVerifier {
    provider: Arc<CryptoProvider>,
    extra_roots: Vec<CertificateDer<'static>>,
    loaded: OnceLock<Result<Verifier, Error>>,
}

impl LazyVerifier {
    /// Reads the certificates unless that has been done. Blocks; concurrent callers wait for the first one.
    pub(super) fn load(&self) -> Result<&Verifier, Error> {
        let loaded = self.loaded.get_or_init(|| self.make());
        loaded.as_ref().map_err(Clone::clone)
    }

    /// Whether [`load`](Self::load) would return at once.
    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.get().is_some()
    }

    #[cfg(not(target_os = "android"))]
    fn make(&self) -> Result<Verifier, Error> {
        Verifier::new_with_extra_roots(self.extra_roots.iter().cloned(), Arc::clone(&self.provider))
    }

    #[cfg(target_os = "android")]
    fn make(&self) -> Result<Verifier, Error> {
        if !self.extra_roots.is_empty() {
            return Err(Error::General("extra root certificates are not supported on Android".to_owned()));
        }
        Verifier::new(Arc::clone(&self.provider))
    }
}

impl fmt::Debug for LazyVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyVerifier").field("loaded", &self.is_loaded()).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for LazyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.load()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.load()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.load()?.verify_tls13_signature(message, cert, dss)
    }

    /// Needed for the first message of a handshake already; the platform's verifiers all answer this.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
