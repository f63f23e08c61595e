//! Whole conversations, byte for byte as Redis has them: requests of every form, mistakes in them, transactions.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::redis::Redis;
use crate::{serve, shown};

const CONVERSATIONS: &[&str] = &[
    "PING\r\n",
    "PING\nPING x\n\r\n  PING   y  \r\n",
    "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nping\r\n$3\r\na\r\n\r\n*0\r\n*-5\r\nPING\r\n",
    "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
    "ECHO \"\\x41\\n\\\"\\q\"\r\nECHO 'it\\'s'\r\nECHO \"\"\r\n",
    "ECHO \"a\r\nPING\r\n",
    "ECHO 'a'b\r\nPING\r\n",
    "ECHO a\"b\"\r\nECHO a'b\r\n",
    "PING\r\n*x\r\nPING\r\n",
    "*2147483648\r\n",
    "*-0\r\n",
    "*1\r\nPING\r\n",
    "*1\r\n\r\n",
    "*1\r\n$-1\r\n",
    "*1\r\n$9999999999\r\n",
    "*1\r\n$4 \r\nPING\r\n",
    "*2\r\n$4\r\nPINGxx$1\r\na\r\n",
    "*3\r\n$4\r\nPING\r\n",
    "NOSUCH a b\r\nNOSUCH 'a\\\\r' \"b\\r\\nc\"\r\nPING\r\n",
    "NOSUCH aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b\r\n",
    "XLEN\r\nXLEN a b\r\nXGROUP CREATE\r\nXGROUP\r\nXGROUP NOSUCH\r\nECHO\r\n",
    "SELECT 0\r\nSELECT 1000\r\nSELECT x\r\n",
    "QUIT\r\nPING\r\n",
    // Transactions.
    "EXEC\r\nDISCARD\r\nMULTI\r\nMULTI\r\nWATCH a\r\nPING\r\nEXEC\r\nEXEC\r\n",
    "MULTI\r\nXADD s 1-1 f v\r\nXLEN s\r\nXRANGE s - +\r\nXADD s 1-1 f v\r\nDEL s\r\nEXISTS s\r\nEXEC\r\n",
    "MULTI\r\nXADD s 1-1 f\r\nXADD s 1-1 f v\r\nEXEC\r\nEXISTS s\r\nMULTI\r\nEXEC\r\n",
    "MULTI\r\nNOSUCH x\r\nPING\r\nEXEC\r\nPING\r\n",
    "MULTI\r\nXGROUP NOSUCH\r\nEXEC\r\nMULTI\r\nXINFO\r\nPING\r\nDISCARD\r\nPING\r\n",
    "MULTI\r\nXADD s 1-1 f v\r\nDISCARD\r\nEXISTS s\r\nDISCARD\r\n",
    "MULTI\r\nEXEC x\r\nPING\r\nEXEC\r\n",
    "EXEC x\r\nMULTI x\r\nWATCH\r\nUNWATCH x\r\n",
    "WATCH s\r\nXADD s 1-1 f v\r\nMULTI\r\nXLEN s\r\nEXEC\r\nXLEN s\r\nMULTI\r\nXLEN s\r\nEXEC\r\nDEL s\r\n",
    "WATCH s\r\nXADD s 1-1 f v\r\nUNWATCH\r\nMULTI\r\nXLEN s\r\nEXEC\r\nDEL s\r\n",
    "WATCH s\r\nXADD s 1-1 f v\r\nDISCARD\r\nMULTI\r\nDISCARD\r\nMULTI\r\nXLEN s\r\nEXEC\r\nDEL s\r\n",
    "WATCH s t s\r\nXLEN s\r\nMULTI\r\nUNWATCH\r\nPING\r\nEXEC\r\n",
    "WATCH s\r\nXADD s 1-1 f v\r\nDEL s\r\nMULTI\r\nPING\r\nEXEC\r\n",
    "WATCH s\r\nXADD s 1-1 f v\r\nMULTI\r\nNOSUCH x\r\nEXEC x\r\nMULTI\r\nPING\r\nEXEC\r\nDEL s\r\n",
    "MULTI\r\nXREAD BLOCK 0 STREAMS s $\r\nXGROUP CREATE s g $ MKSTREAM\r\nXREADGROUP GROUP g c BLOCK 0 STREAMS s >\r\nEXEC\r\nDEL s\r\n",
    "MULTI\r\nSELECT 0\r\nSELECT 1000\r\nECHO x\r\nEXEC\r\n",
    "MULTI\r\nPING\r\nQUIT\r\n",
    "MULTI\r\nPING\r\nRESET\r\nPING\r\nEXEC\r\n",
    "CLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\nPING\r\nCLIENT REPLY SKIP\r\nPING\r\nPING x\r\n",
    "CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING 1\r\nPING 2\r\nCLIENT REPLY x\r\n",
    "CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nCLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\n",
    "CLIENT REPLY OFF\r\n*x\r\n",
    // What both protocols write their own way.
    "XADD s 1-1 f v\r\nXRANGE t - +\r\nXREAD STREAMS s 0\r\nXREAD STREAMS s 1-1\r\nXINFO GROUPS s\r\nXGROUP CREATE s g 0\r\nXINFO GROUPS s\r\nXPENDING s g\r\nDEL s\r\n",
];

#[test]
fn a_conversation_is_byte_for_byte_as_with_redis() {
    let Some(redis) = Redis::start_or_skip("a_conversation_is_byte_for_byte_as_with_redis") else { return };
    let served = serve();
    let mut differ = 0;
    for conversation in CONVERSATIONS {
        let ours = served.converse(conversation.as_bytes());
        let theirs = converse(redis.socket(), conversation.as_bytes());
        if ours != theirs {
            differ += 1;
            eprintln!(
                "{}\n  ours   {}\n  Redis  {}",
                conversation.escape_debug(),
                ours.escape_debug(),
                theirs.escape_debug()
            );
        }
    }
    assert_eq!(differ, 0);
}

fn converse(mut stream: impl Read + Write + HalfClose, bytes: &[u8]) -> String {
    stream.write_all(bytes).unwrap();
    stream.half_close();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    shown(&said)
}

trait HalfClose {
    fn half_close(&self);
}

impl HalfClose for std::os::unix::net::UnixStream {
    fn half_close(&self) {
        // It may be closed from the other end by now.
        let _ = self.shutdown(Shutdown::Write);
    }
}
