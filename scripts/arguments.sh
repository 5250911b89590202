# Reads the arguments of scripts whose first comment is their help. Source it before anything is built or downloaded:
#
#   . "$(dirname "$0")/arguments.sh"
#   check_arguments 1 2 '--rounds --output' "$@"   at least one and at most two arguments, then options of this list
#   check_number ROUNDS "$2"                       a whole number above 0
#
# --help prints the first comment of the script and exits with 0. Anything else that the script does not know ends it
# with 2 and one line: a misspelt option must not start a measurement of forty minutes.

refuse() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

check_arguments() {
    fewest=$1 most=$2 options=$3
    shift 3
    for argument in "$@"; do
        case $argument in
            -h | --help)
                sed -n '2,/^[^#]/{ /^#/!d; s/^# \{0,1\}//; p; }' "$0"
                exit 0
                ;;
            -?*)
                case " $options " in
                    *" ${argument%%=*} "*) ;;
                    *) refuse "unknown option: $argument (see --help)" ;;
                esac
                ;;
        esac
    done
    leading=0
    for argument in "$@"; do
        case $argument in -?*) break ;; esac
        leading=$((leading + 1))
    done
    [ "$leading" -ge "$fewest" ] || refuse "expected $fewest or more arguments, found $leading (see --help)"
    [ "$leading" -le "$most" ] || refuse "expected at most $most arguments, found $leading (see --help)"
}

check_number() {
    case $2 in
        '' | 0* | *[!0-9]*) refuse "$1: expected a whole number above 0, found $2" ;;
    esac
}
