/** What is known of how a client connects: at least one signal. What is null is not known, as in an identification. */
export interface Signals {
  /** How it opens TLS. */
  tls?: TlsSignals | null;
  /** How it opens HTTP/2. */
  http2?: null | {
    /** Akamai's fingerprint, `SETTINGS|WINDOW_UPDATE|PRIORITY|pseudo-header order`; at most 2 KiB. */
    akamai?: string | null;
  };
  /** What its first request looks like. */
  http?: null | {
    /** Pairs of name and value in the order sent, without pseudo-headers; at most 128. */
    headers?: readonly (readonly [name: string, value: string])[] | null;
  };
}

/** How a client opens TLS. Of several forms the fuller decides. */
export interface TlsSignals {
  /**
   * The first bytes of the connection, from the TLS record on, or a bare ClientHello, at most 16 KiB; as bytes or in base64,
   * standard or URL-safe.
   */
  client_hello?: Uint8Array | string | null;
  /** JA4 as hashed, `t13d1516h2_8daaf6152771_…`. */
  ja4?: string | null;
  /** JA4 as it is before it is hashed, with lists. */
  ja4_r?: string | null;
  /** MD5, or the full string. */
  ja3?: string | null;
  /** `legacy_version`, such as 771. With the lists, it, `ciphers` and `extensions` are needed. */
  version?: number | null;
  /** Cipher suites in the order offered, with GREASE or without. */
  ciphers?: readonly number[] | null;
  /** Types of the extensions in the order sent. */
  extensions?: readonly number[] | null;
  /** Extension 10, `supported_groups`. */
  groups?: readonly number[] | null;
  /** Extension 11, `ec_point_formats`. */
  point_formats?: readonly number[] | null;
  /** Extension 13. */
  signature_algorithms?: readonly number[] | null;
  /** Extension 43. */
  supported_versions?: readonly number[] | null;
  /** Extension 16: protocols such as `h2`. */
  alpn?: readonly string[] | null;
}

/** What speaks for a candidate; `docs/fingerprint.md` explains each. */
export type Evidence = "ja4" | "ja4_bc" | "ja3" | "ja3n" | "tls_lists" | "akamai_h2" | "header_order";

/** A contradiction between two signals; `docs/fingerprint.md` explains each. */
export type Flag =
  | "ua_tls_mismatch"
  | "ua_h2_mismatch"
  | "ua_hints_mismatch"
  | "hints_tls_mismatch"
  | "ua_hints_missing"
  | "ua_missing"
  | "tls_h2_mismatch"
  | "tls_signals_disagree";

/** A known client that opens connections this way. */
export interface Candidate {
  /** Its name in the data set, such as `chromium` or `python-requests`. */
  client: string;
  /** Versions it was captured in, of those that the evidence fits. */
  versions: string[];
  /** 0.005 to 0.99; what all candidates' lack to 1 is for clients unknown to the data set. */
  confidence: number;
  /** What speaks for it. */
  evidence: Evidence[];
}

/** Who a client may be. */
export interface Identification {
  /** `fp1_` and 32 hexadecimal digits: the same for the same signals. */
  fingerprint_id: string;
  /** What the signals come to; null where they don't suffice. */
  computed: {
    /** MD5 of JA3's string. */
    ja3: string | null;
    /** The same with extensions in numerical order, since browsers shuffle them. */
    ja3n: string | null;
    /** JA4, hashed. */
    ja4: string | null;
    /** JA4 before it is hashed. */
    ja4_r: string | null;
    /** Akamai's fingerprint of HTTP/2. */
    akamai_h2: string | null;
    /** `hh1_…`, this project's hash of the order of header names. */
    header_order: string | null;
  };
  /** The likeliest first; empty if no known client is like it. */
  candidates: Candidate[];
  /** Whether a second candidate is at least half as likely as the first. */
  ambiguous: boolean;
  /** 1 where no signal contradicts another, 0 at worst. */
  consistency: {
    /** 0 to 1. */
    score: number;
    /** The contradictions. */
    flags: Flag[];
  };
  /** Year and month of the data set. */
  dataset: string;
}

/** How alike two clients are. */
export interface Comparison {
  /** 0, nothing shared, to 1, nothing differs. */
  similarity: number;
  /** Whether the similarity is 0.95 or more: runs of one client come to 0.97 at least, others over one TLS library to 0.93 at most. */
  match: boolean;
  /** `hash` if a section was known by its hash only: it is the same or it is not. */
  resolution: "raw" | "hash";
  /** 0 to 1; null where one side doesn't know it. */
  components: {
    /** Cipher suites and their order. */
    ciphers: number | null;
    /** Extensions, their order, ALPN and the highest version. */
    extensions: number | null;
    /** Groups and their order. */
    groups: number | null;
    /** Signature algorithms and their order. */
    signature_algorithms: number | null;
    /** Akamai's fingerprint, part by part. */
    http2: number | null;
    /** Names of the header fields and their order. */
    headers: number | null;
  };
  /** What differs, in words. */
  differences: string[];
}

/** One client of a batch. */
export interface BatchItem {
  /** At most 256 bytes; comes back with the answer. */
  id?: string;
  /** Its signals. */
  fingerprint: Signals;
}

/** One answer of a batch. */
export type BatchAnswer = BatchAnswered | BatchRefused;

/** The answer to an item whose signals could be used. */
export interface BatchAnswered {
  /** That of the item; null if it had none. */
  id: string | null;
  /** Who it may be. */
  result: Identification;
  /** None. */
  problem?: undefined;
}

/** The answer to an item whose signals can't be used. */
export interface BatchRefused {
  /** That of the item; null if it had none. */
  id: string | null;
  /** None. */
  result?: undefined;
  /** What is wrong with it: a stable code, the path of the field, and why, for people. */
  problem: {
    /** `ERR_…`. */
    code: string;
    /** Such as `items[3].fingerprint.tls.ja4`. */
    path: string;
    /** For people. */
    detail: string;
  };
}
