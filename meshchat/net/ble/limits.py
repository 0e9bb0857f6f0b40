"""Every number of Bluetooth LE in one place, with its reason. Pure: the simulator reads it too."""

# --- fragments (wire.md 1.7) ----------------------------------------------------------------------

FRAGMENT_MAX_BYTES = 489  # fits plain ATT in two 251-byte packets and EATT in two K-frames
FRAGMENT_MIN_BYTES = 20  # ATT MTU 23, which every radio speaks
HEADER_BYTES = 4
CHUNK_MIN_BYTES = FRAGMENT_MIN_BYTES - HEADER_BYTES  # only the last chunk of a frame is smaller
FRAME_MAX_BYTES = 4_096  # the link's mtu: 43 ms of a 1M radio, all that a cut link loses, and
# 256 chunks at ATT MTU 23, so that an index is one byte
WINDOW_FRAMES = 32  # unacknowledged: far below half of the 256 numbers
WINDOW_BYTES = 65_536  # of frames unacknowledged: a third of a second of a 2M radio
ACK_EVERY_BYTES = WINDOW_BYTES // 2  # the sender hears of them before its window is shut
ACK_EVERY_FRAMES = WINDOW_FRAMES // 2
ACK_DELAY_S = 0.5  # a lone frame: answers of the other side and more frames share one ack
ACK_GAP_S = 0.05  # between two acks, whatever a peer asks for
GAP_S = 0.15  # EATT bearers overtake each other by a connection interval or two; then it is lost
POLL_S = 2.0  # without an ack: four times the longest an honest receiver waits with it
POLL_MAX_S = 8.0  # the wait doubles up to this
POLLS_MAX = 5  # unanswered, 30 s in all: as long as BlueZ takes to notice a dead server
STALL_S = 60.0  # acks come but the oldest frame never gets through
OPEN_AGAIN_S = 1.0  # OPEN and ACCEPT may be lost like anything else
OPEN_S = 5.0  # then nobody is there who speaks this protocol
PROBE_S = 60.0  # of silence; the dialler asks, so that a dead application behind a live radio shows
SILENT_S = 150.0  # two probes lost: the dialled side gives up
UNSENT_MAX_BYTES = 1_048_576  # waiting on one link; the core's credits stay far below

TOKEN_BYTES = 6  # what a legacy advert has left for us beside flags and a 128-bit UUID
VERSION = 1  # of fragments and INFO

# --- whom to dial ---------------------------------------------------------------------------------

SIGHTINGS_MAX = 256  # adverts remembered; a storm of 10,000 tokens must cost nothing
SIGHTING_LIFE_S = 60.0  # an advert that old says little about who is in reach
LINKS_MAX = 6  # neighbours over Bluetooth: five to ten is what common chips hold dependably
LINKS_HARD_MAX = 8  # with newcomers that are being looked at
LINKS_DIALLED_MAX = 4  # the rest is for those who dial us
CONTACTS_RESERVED = 2  # of the links: strangers cannot take them from contacts
RANDOM_LINKS = 2  # of the links: replaced by chance, so that no crowd can surround us for long
ROTATION_S = 3_600.0  # of one of the random links
DIAL_S = 15.0  # connecting, services and OPEN; BlueZ took 2 s under load, its own limit is 25 s
YIELD_S = 8.0  # the greater token leaves the first try to the other side
YIELD_JITTER_S = 2.0
NO_TOKEN_S = 3.0  # a peer without token (macOS) is dialled by anybody, after 0 to this
BACKOFF_FIRST_S = 2.0
BACKOFF_MAX_S = 120.0
BACKOFFS_MAX = 512  # tokens remembered as failing
FLOOR_DBM = -90  # weaker links break at once
FLOOR_ALONE_DBM = -100  # better than none
IDLE_S = 30.0  # a peer that brought nothing for so long yields its slot to whoever waits
EVICT_GAP_S = 10.0  # between two evictions: a crowd does not make us drop all at once
LASTED_S = 30.0  # a link that lived this long was a good one: back-off starts anew
TOKEN_LIFE_S = 900.0  # phones change their addresses as often
