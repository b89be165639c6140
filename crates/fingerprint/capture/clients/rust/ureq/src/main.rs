//! `ureq-get CA URL`: one GET, trusting the authority in the PEM file `CA`.

use std::error::Error;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [ca, url] = arguments.as_slice() else {
        return Err("usage: ureq-get CA URL".into());
    };
    let ca = Certificate::from_pem(&std::fs::read(ca)?)?;
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(std::iter::once(ca)))
        .build();
    let agent: Agent = Agent::config_builder().tls_config(tls).build().into();
    agent.get(url).call()?.body_mut().read_to_string()?;
    Ok(())
}
