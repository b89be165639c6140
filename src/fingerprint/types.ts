/** What is known of how a client connects: at least one signal. What is null is not known, as in an identification. */
export interface Signals {
  tls?: TlsSignals | null;
  http2?: null | {
    /** Akamai's fingerprint, `SETTINGS|WINDOW_UPDATE|PRIORITY|pseudo-header order`; at most 2 KiB. */
    akamai?: string | null;
  };
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
  ja4?: string | null;
  ja4_r?: string | null;
  /** MD5, or the full string. */
  ja3?: string | null;
  /** `legacy_version`, such as 771. With the lists, it, `ciphers` and `extensions` are needed. */
  version?: number | null;
  ciphers?: readonly number[] | null;
  extensions?: readonly number[] | null;
  groups?: readonly number[] | null;
  point_formats?: readonly number[] | null;
  signature_algorithms?: readonly number[] | null;
  supported_versions?: readonly number[] | null;
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
  evidence: Evidence[];
}

/** Who a client may be. */
export interface Identification {
  /** `fp1_` and 32 hexadecimal digits: the same for the same signals. */
  fingerprint_id: string;
  /** What the signals come to; null where they don't suffice. */
  computed: {
    ja3: string | null;
    ja3n: string | null;
    ja4: string | null;
    ja4_r: string | null;
    akamai_h2: string | null;
    /** `hh1_…`, this project's hash of the order of header names. */
    header_order: string | null;
  };
  /** The likeliest first; empty if no known client is like it. */
  candidates: Candidate[];
  /** Whether a second candidate is at least half as likely as the first. */
  ambiguous: boolean;
  /** 1 where no signal contradicts another, 0 at worst. */
  consistency: { score: number; flags: Flag[] };
  /** Year and month of the data set. */
  dataset: string;
}

/** How alike two clients are. */
export interface Comparison {
  /** 0, nothing shared, to 1, nothing differs. */
  similarity: number;
  match: boolean;
  /** `hash` if a section was known by its hash only: it is the same or it is not. */
  resolution: "raw" | "hash";
  /** 0 to 1; null where one side doesn't know it. */
  components: {
    ciphers: number | null;
    extensions: number | null;
    groups: number | null;
    signature_algorithms: number | null;
    http2: number | null;
    headers: number | null;
  };
  /** What differs, in words. */
  differences: string[];
}

export interface BatchItem {
  /** At most 256 bytes; comes back with the answer. */
  id?: string;
  fingerprint: Signals;
}

/** One answer of a batch. */
export type BatchAnswer = { id: string | null } & (
  | { result: Identification; problem?: undefined }
  | { result?: undefined; problem: { code: string; path: string; detail: string } }
);
