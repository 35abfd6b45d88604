#!/bin/sh
# Runs the guests of this folder on QEMU's virt machine, with 1, 2, 4 and 8 CPUs, both GICs and two CPU models, and says
# which lines are not as expected: a FAIL that is not known of QEMU, an end without its last line, a status.
#
#   check_qemu.sh [GUEST...]     guests without .elf (all)
#   CPUS="1 2 4 8" GICS="2 3" MODELS="cortex-a72 max" SECONDS_EACH=120 SHOW=1 (the output of each)
#   THREAD=multi                 a thread for each CPU in context and torture too (then leave out torture: it takes hours)

cd "$(dirname "$0")" || exit 1
status=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# A guest's own options. With threads WFE does not wait, and with fewer host CPUs than CPUs whoever has its turn mostly spins:
# where CPUs wait for each other often, they take turns in one thread instead.
options() {
    case $1 in
    torture | context) echo "-accel tcg,thread=${THREAD:-single}" ;;
    esac
}

# What the last line has to be like; those that hang are ended from outside.
last_line() {
    case $1 in
    torture | wfi) echo "^$1: all right" ;;
    hang-*) echo "^hung: ${1#hang-}, [0-9]* CPUs" ;;
    gicv2 | gicv3) echo "^$1: [0-9]* ok, [0-9]* failed\|^$1: skipped" ;;
    *) echo "^$1: [0-9]* ok, [0-9]* failed" ;;
    esac
}

for guest in ${*:-torture psci gicv2 gicv3 context wfi hang-lock hang-wfi hang-off hang-spin}; do
    limit=${SECONDS_EACH:-120}
    case $guest in hang-*) limit=3 ;; esac
    for model in ${MODELS:-cortex-a72 max}; do
        for gic in ${GICS:-2 3}; do
            for cpus in ${CPUS:-1 2 4 8}; do
                # shellcheck disable=SC2046
                timeout "$limit" qemu-system-aarch64 -M "virt,gic-version=$gic" -cpu "$model" -smp "$cpus" \
                    -display none -serial stdio -monitor none -semihosting $(options "$guest") -kernel "$guest.elf" \
                    >"$output" 2>&1 </dev/null
                code=$?
                sed -i '/^qemu-system-aarch64: terminating on signal/d' "$output"
                known=$(grep -c "^FAIL.*(as QEMU 7.2)$" "$output")
                unknown=$(grep "^FAIL" "$output" | grep -vc "(as QEMU 7.2)$")
                verdict=good
                tail -n 1 "$output" | grep -q "$(last_line "$guest")" || verdict="bad: last line"
                [ "$unknown" = 0 ] || verdict="bad: $unknown FAIL"
                case $guest in hang-*) expected=124 ;; *) expected=$((known != 0)) ;; esac
                [ "$code" = "$expected" ] || verdict="bad: status $code, not $expected"
                [ "$verdict" = good ] || status=1
                echo "$guest $model gic $gic smp $cpus: $verdict; $(tail -n 1 "$output") ($known as QEMU)"
                [ "$verdict" = good ] && [ -z "$SHOW" ] || sed 's/^/    /' "$output"
            done
        done
    done
done
exit $status
