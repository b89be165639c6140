//! `reqwest-get CA URL`: one GET, trusting the authority in the PEM file `CA`.

use std::error::Error;

use reqwest::blocking::Client;
use reqwest::tls::Certificate;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [ca, url] = arguments.as_slice() else {
        return Err("usage: reqwest-get CA URL".into());
    };
    let ca = Certificate::from_pem(&std::fs::read(ca)?)?;
    let agent = "reqwest";
    Client::builder()
        .tls_certs_only([ca])
        .user_agent(agent)
        .build()?
        .get(url)
        .send()?
        .text()?;
    Ok(())
}
