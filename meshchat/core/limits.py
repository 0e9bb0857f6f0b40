"""Every budget of a node in one place, with its reason (design study: abuse without accounts)."""

from dataclasses import dataclass

CLASS_SIZES_BYTES = (512, 2_048, 8_192, 32_768)  # four sizes hide what is inside
EXPIRY_AHEAD_MAX_H = 200  # 170 of the sender; clocks set to local time are hours off
RELEASE_AHEAD_MAX_S = 120.0  # a receipt due later than this was planned before a clock jump
DM_LIFE_BASE_H = 136  # plus up to 25 %: 170 h at most, so the exact hour says little
DM_LIFE_MAX_H = 170  # that, and the most a person can choose
ANNOUNCE_LIFE_H = 72  # three daily announces overlap
ANNOUNCE_EVERY_S = 86_400.0  # with each new prekey
MESSAGE_LIFE_S = 7 * 86_400.0  # how long we go on trying, sealing again where needed
PREKEY_LIFE_H = 192  # senders may use it for eight days
PREKEY_DELETE_S = 9 * 86_400.0  # then its secret half goes: forward secrecy of first messages
PREKEY_EVERY_S = 86_400.0
CLOCK_FLOOR_S = 1_767_225_600.0  # 2026-01-01: this code did not exist before
RECEIPT_DELAY_S = (5.0, 60.0)  # an instant receipt tells a watcher who is where
HANDOVER_S = 30.0  # carriers hear of our own mail within this: longer would delay, not hide more
COVER_EVERY_S = 900.0  # a week of them is 340 kB in every store: off unless asked for
HAVE_IDS_MAX = 512  # ids of one HAVE
NEIGHBOURS_REMEMBERED_MAX = 512  # whose mail we know: a bit for each envelope and neighbour
HAVES_OPEN_MAX = 8  # HAVEs not answered yet: chat does not wait a round trip for the last one
HAVES_OPEN_IDS_MAX = 2_048  # ids in them: 32 KiB, so that mail moves before the last id is told
NEXT_AFTER_HAVES = 4  # read; fewer wait for a frame that leaves anyway: half the frames of a crowd
NEXT_AFTER_S = 60.0  # but no longer: what we have is news to its author
WANTS_MAX = 512  # requests of one WANT
WANTS_OPEN_MAX = 2_048  # requests to one neighbour not answered yet: a megabyte of small ones
WANTS_WAITING_MAX = 2_048  # ids remembered to ask for before the next HAVE is invited
CREDIT_BYTES = 33_280  # PART bytes in flight at first: two frames, a quarter second at 1 Mbit/s
CREDIT_MIN_BYTES = 16_640  # one frame: chat waits for no more on the slowest link
CREDIT_MAX_BYTES = 1_048_576  # on a link that answers quickly; a receiver takes no more
CREDIT_SLACK_S = 0.03  # the window grows while bytes wait no longer than this on the way
CREDIT_FREE_S = 0.1  # nor while all is processed within this: longer than a commit takes
BULK_OPEN_MAX = 8  # envelopes of files asked of one neighbour at once: better ones may come
DECLINED_KEYS_MAX = 8  # neighbours remembered for each of them, the last that offered it
DECLINED_REMEMBERED_MAX = 16_384  # ids of files we did not carry, should they be for us
BUFFERED_MAX_BYTES = 2_097_152  # unfinished envelopes one neighbour may make us hold
STALL_S = 60.0  # a neighbour that owes us bytes and sends none is cut off
HOLD_S = 60.0  # then what one neighbour was asked for may be asked of another as well
FULL_WAIT_S = 600.0  # what found no room is not asked for again sooner: each try costs air
FULL_REMEMBERED_MAX = 8_192  # ids of such
PARTIALS_PER_LINK_MAX = 4  # an honest sender is inside one envelope of each class at most
ROOM_KEPT_MAX = 20_000  # messages of one room on disk: anybody can fill a public one
TRIM_EVERY = 256  # messages between two looks at that
TRY_AT_ONCE_MAX = 8  # arrivals opened in the step that stored them; more wait for their turn
TRY_PER_WAKE_MAX = 32  # trial opening costs up to 2 ms each
TRY_GAP_S = 0.02  # between two such wakes while envelopes come in ...
TRY_QUIET_S = 0.1  # ... and when none came for so long
TRY_QUIET_GAP_S = 0.002  # nobody waits for anything but what may be among them
HOUSEKEEPING_S = 600.0  # also how soon a jump of the wall clock is noticed
QUIET_HOUSEKEEPING_S = 3_600.0  # the same while no message of ours waits: envelopes end by hours
SESSIONS_PER_CONTACT_MAX = 8  # both may start at once, each may be restored; a row each
SESSION_KEPT_S = 9 * 86_400.0  # closed ones: as long as an envelope can be under way
SKIPPED_KEPT_MAX = 1_024  # keys of messages that have not come, of one session: 90 kB
SKIPPED_KEPT_S = 9 * 86_400.0  # like a prekey: then a seized device does not have them
REHELLO_S = 60.0  # next sixteen contacts
HELLO_TAGS = 16
REQUESTS_MAX = 200  # strangers waiting for an answer; a person reads no more, a flood makes no more
REQUEST_MESSAGES_MAX = 20  # from each of them
INTRODUCED_MAX = 100  # people one contact may bring us
FILE_CHUNKS_MAX = 64  # of class 3, 2 MiB: what strangers can be asked to carry for one message
FILE_SPREAD_H = 34  # chunks outlive their manifest by up to this, so that no hour ties them
FILE_WAIT_H = 48  # after the manifest's end its last chunks end too, or it was sealed again
FILES_TAKEN_MAX = 64  # collected at once: 128 MiB of pieces at most, beside the store's quota
FILES_TAKEN_PER_CONTACT_MAX = 16  # of one contact; the rest waits for its turn
FILES_KNOWN_PER_CONTACT_MAX = 64  # manifests of one contact, waiting or not; 1.3 kB each
FILES_KNOWN_PER_STRANGER_MAX = 4  # with 200 requests that is 1 MB
REACTIONS_PER_MESSAGE_MAX = 256  # people; in a public room anybody can be many
VERSIONS_MAX = 16  # of one message; the newest stay
EARLY_MAX = 1_024  # acts on messages that have not come, at most 7 MB
EARLY_PER_AUTHOR_MAX = 64  # an envelope more or less overtaken, not a flood
EARLY_LIFE_S = 15 * 86_400.0  # a message lives a week, and its last envelope another
BURIED_S = 30 * 86_400.0  # ids of destroyed messages: longer than any of them can come again
DESTROY_AT_ONCE_MAX = 256  # messages destroyed in one statement's worth of work
KEEP_DAYS_MAX = 3_650
TIMER_MIN_S = 5  # less cannot be read
TIMER_AHEAD_MAX_S = 86_400  # by which a clock that sets a timer may be ahead of ours
TYPING_EVERY_S = 4.0  # a link hears that we write no more often
TYPING_SHOWN_S = 8.0  # after the last of them
NODE_KEY_LIFE_S = 86_400.0  # a link key that lasts a week would be a name
HANDSHAKE_WINDOW_S = 60.0
HELLO_WAIT_S = 10.0  # a link whose peer never greets holds a slot no longer


@dataclass(frozen=True, slots=True)
class Limits:
    """What a node lends to others. Testers may change them; the defaults are for people."""

    store_bytes: int = 256 * 1024 * 1024
    small_reserve: float = 0.25  # of the store only class 0 may use
    bulk_share: float = 0.50  # classes 2 and 3 together
    origin_share: float = 0.10  # first heard through one neighbour
    contact_share: float = 0.20  # the same, from a contact
    own_share: float = 0.25  # our own waiting mail
    proofs_max: int = 20_000  # unmatched tokens too; 20 bytes each
    links_max: int = 24
    inbound_max: int = 16  # the rest is ours to dial, whoever crowds in
    links_per_origin: int = 6  # inbound, from one address
    half_open_max: int = 8
    handshakes_per_window: int = 20  # from one address
    envelopes_burst: int = 1_200  # new ones from a stranger's link ...
    envelopes_per_s: float = 20.0  # ... and the rate after that; a contact gets ten times both
    offers_burst: int = 12_288  # ids a neighbour may offer at once ...
    offers_per_s: float = 900.0  # ... and later
