#![no_main]

use std::any::Any;
use std::panic;

use libfuzzer_sys::fuzz_target;

// What redb panics about is contained by the storage, so only a panic that gets out of the target is a finding.
fuzz_target!(
    init: panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| {
        if let Err(why) = panic::catch_unwind(|| tollkeeper_storage_fuzz::storage(bytes)) {
            eprintln!("{}", message(&*why));
            std::process::abort();
        }
    }
);

fn message(why: &(dyn Any + Send)) -> &str {
    let text = why.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| why.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text")
}
