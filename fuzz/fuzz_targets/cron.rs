//! Cron fields and monthly patterns; see the function in the library.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| beadle_fuzz_functions::cron(data));
