"""Every number of Bluetooth LE in one place, with its reason. Pure: the simulator reads it too."""

# --- fragments (wire.md 1.8) ----------------------------------------------------------------------

FRAGMENT_MAX_BYTES = 489  # fits plain ATT in two 251-byte packets and EATT in two K-frames
FRAGMENT_MIN_BYTES = 20  # ATT MTU 23, which every radio speaks
HEADER_BYTES = 4
CHUNK_MIN_BYTES = FRAGMENT_MIN_BYTES - HEADER_BYTES  # only the last chunk of a frame is smaller
FRAME_MAX_BYTES = 5_501  # the link's mtu: a sixth of the largest envelope with heads and tag, so
# that nothing is padded; 57 ms of a 1M radio, which is what a cut link loses and chat waits. With a
# quarter two frames fill the core's smallest window and the air falls idle; an eighth pays 2 % more
WINDOW_FRAMES = 32  # unacknowledged: far below half of the 256 numbers
WINDOW_BYTES = 65_536  # of frames unacknowledged, and all that a peer can make us hold: a third
# of a second of a 2M radio
ACK_EVERY_BYTES = WINDOW_BYTES // 2  # the sender hears of them before its window is shut
ACK_EVERY_FRAMES = WINDOW_FRAMES // 2
ACK_DELAY_S = 0.5  # a lone frame: answers of the other side and more frames share one ack
ACK_GAP_S = 0.05  # between two acks, whatever a peer asks for
GAP_S = 0.15  # EATT bearers overtake each other by a connection interval or two; then it is lost
QUIET_S = 0.3  # in the middle of a frame: the longest connection interval in use is a third of it
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
FRESH_S = 30.0  # whoever was heard longer ago is not dialled: it would only time out
STORM_TOKENS = 256  # new ones in one listening: somebody makes them up, so it is cut short
LINKS_WANTED = 3  # fewer: dial. A random graph of degree 3 holds together; each link costs power
STRANGERS_MAX = 4  # one more than wanted, so that a crowd in which all dial comes to rest
LINKS_MAX = 6  # with two only contacts can have: chips hold five to ten dependably
LINKS_HARD_MAX = 8  # with newcomers who have not shown yet who they are
RANDOM_LINKS = 2  # of the wanted: chosen by chance, not by strength, which anybody can raise
LOOK_S = 300.0  # with enough strangers, one more is dialled as often: it may be a contact
DIAL_S = 15.0  # connecting and services; BlueZ took 2 s under load, its own limit is 25 s
YIELD_S = 8.0  # the greater token leaves the first tries to the other side ...
YIELD_JITTER_S = 4.0  # ... and then dials: the other may be deaf, full, or listen seldom
NO_TOKEN_S = 3.0  # a peer without token (macOS) is dialled by anybody, after 0 to this
BACKOFF_FIRST_S = 2.0
BACKOFF_MAX_S = 120.0
MISSES_FREE = 3  # dials in a row that nobody answered; after that all dialling pauses ...
MISSES_MAX = 10  # counted: the pause has come to its end by then
PAUSE_MAX_S = 60.0  # ... longer each time, up to this: made-up adverts shall not empty a battery
BACKOFFS_MAX = 512  # peers remembered as failing
FLOOR_DBM = -90  # weaker links break at once
FLOOR_ALONE_DBM = -100  # better than none
IDLE_S = 30.0  # how long a peer may hold a slot beyond its share before it has to go
LASTED_S = 30.0  # a link that lived this long was a good one: back-off starts anew
WORTH_HALF_S = 600.0  # what a peer brought counts half after ten minutes
TOKEN_LIFE_S = 900.0  # phones change their addresses as often
TOKEN_LINKED_LIFE_S = 3_600.0  # while linked: a rotation ends all links, else they would tie
# the old token to the new one
SUSPENDED_S = 60.0  # the wall clock ran ahead of the monotonic one, which stands still in a
# suspended machine: it may be in another place, where nobody shall know the old token
ROTATION_SPREAD = 0.2  # of both, either way: a fixed period would be a name
ELSEWHERE_S = TOKEN_LIFE_S * (1 + ROTATION_SPREAD)  # a peer linked over another transport is not
# dialled for so long: by then it has another token, unless it has other links by radio
ELSEWHERE_MAX = 64  # such peers; the core keeps 24 links

# --- duty and battery -----------------------------------------------------------------------------

SAVER_ON_S = 120.0  # saver: so long ...
SAVER_EVERY_S = 900.0  # ... of every quarter of an hour by the clock, when other savers listen too
LOW_BATTERY = 0.20  # below: normal saves
FULL_BATTERY = 0.30  # above: it no longer does
DUTY_SPREAD = 0.2  # of a period, either way: two nodes in step would never hear each other
