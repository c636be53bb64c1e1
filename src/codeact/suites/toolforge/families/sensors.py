"""Which sensor reads highest once bad readings are left out and calibrations are put in."""

from datetime import date
from fractions import Fraction
from typing import Any

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families import _shared as shared
from codeact.suites.toolforge.forged import Ambiguous, Forged, rounded, the_least

SOLUTION = """
means = []
for sensor in every(list_sensors, {site!r}):
    name = sensor["sensor"]
    values = [size(reading["pressure"]) for reading in every(readings, name)
              if reading["status"] == "ok" and day({first!r}) <= day(reading["date"]) <= day({last!r})]
    mean = sum(values) / len(values)
    if {hops} >= 2:
        calibration = calibration_of(name)
        mean += calibration["offset_pascal"]
    if {hops} >= 3:
        paper = gain_of(calibration["certificate"])
        mean *= paper["gain"]
    if {hops} >= 4:
        mean -= ambient_of(paper["laboratory"])
    means.append((mean, name))
mean, name = max(means)
answer = [name, round(mean, 1)]
"""


def make(draws: Draws, dials: Dials) -> Forged:
    """By hops: the readings; an offset; the gain on its certificate; the ambient of the laboratory that gave it."""
    sites = draws.picks(shared.CITIES, 3)
    first = shared.day_in(draws, date(2030, 3, 1), 250)
    last = shared.day_in(draws, first, 20)
    laboratories = {f"Lab {name}": draws.integer(100, 900) for name in draws.picks(shared.PEOPLE, 3)}
    sensors: dict[str, list[shared.Reading]] = {site: [] for site in sites}
    rows: dict[str, list[shared.Reading]] = {}
    calibrations: dict[str, dict[str, Any]] = {}
    gains: dict[str, dict[str, Any]] = {}
    means: list[tuple[Fraction, str]] = []
    for site in sites:
        for _ in range(max(2, dials.items // 2)):
            name = f"{site[:2].upper()}-{draws.integer(100, 999)}"
            certificate = f"C{draws.integer(10000, 99999)}"
            if name in rows or certificate in gains:
                raise Ambiguous("two of one name")
            sensors[site].append({"sensor": name, "installed": shared.spelled_day(draws, first, dials)})
            calibrations[name] = {"offset_pascal": draws.integer(-400, 400), "certificate": certificate}
            gains[certificate] = {"gain": draws.integer(95, 105) / 100, "laboratory": draws.pick(list(laboratories))}
            rows[name], values = [], []
            base = draws.integer(950, 1050) * 100
            for _ in range(dials.items):
                value = base + draws.integer(-80, 80) * draws.pick((10, 100))
                status = draws.pick(("ok", "ok", "ok", "fault"))
                when = shared.day_in(draws, first, (last - first).days + 7)
                rows[name].append({
                    "date": shared.spelled_day(draws, when, dials), "status": status,
                    "pressure": shared.spelled_size(draws, value, ("Pa", "hPa", "kPa"), dials),
                })  # fmt: skip
                if status == "ok" and when <= last:
                    values.append(value)
            if not values:
                raise Ambiguous("no reading counts")
            if site != sites[0]:
                continue
            mean = Fraction(sum(values), len(values))
            mean += calibrations[name]["offset_pascal"] if dials.hops >= 2 else 0
            mean *= Fraction(round(gains[certificate]["gain"] * 100), 100) if dials.hops >= 3 else 1
            mean -= laboratories[gains[certificate]["laboratory"]] if dials.hops >= 4 else 0
            means.append((mean, name))
    mean, name = the_least(means, key=lambda entry: -rounded(entry[0], 1))
    steps = ["", " To each mean its sensor's calibration offset is added.",
             " The sum is then multiplied by the gain on the calibration's certificate.",
             " From the product the ambient of the certificate's laboratory, in pascal, is subtracted."]  # fmt: skip
    return Forged(
        f"For each sensor of {sites[0]} take the mean pressure, in pascal, of its readings with status ok "
        f"dated from {first} to {last}, both days included.{''.join(steps[: dials.hops])} Which sensor's result is "
        "highest? Answer with a list of its name and the result in pascal, rounded to 1 decimal, as ['XX-100', "
        "99999.9].",
        [name, rounded(mean, 1)],
        lambda: tools(sensors, rows, calibrations, gains, laboratories, dials),
        SOLUTION.format(site=sites[0], first=first.isoformat(), last=last.isoformat(), hops=dials.hops),
        distractors=(battery_level, restart_sensor, sensor_owner),
    )


def tools(sensors: dict[str, list[shared.Reading]], rows: dict[str, list[shared.Reading]],
          calibrations: dict[str, dict[str, Any]], gains: dict[str, dict[str, Any]], laboratories: dict[str, int],
          dials: Dials) -> shared.Tools:  # fmt: skip
    def list_sensors(site: str, page_token: str = "") -> dict[str, Any]:
        """Sensors of a site: sensor (its name), installed (date)."""
        return shared.paged(shared.found(sensors, site, "site"), page_token, dials.page)

    def readings(sensor: str, page_token: str = "") -> dict[str, Any]:
        """Readings of a sensor: date, status, pressure {value, unit: Pa, hPa or kPa}."""
        return shared.paged(shared.found(rows, sensor, "sensor"), page_token, dials.page)

    def calibration_of(sensor: str) -> dict[str, Any]:
        """A sensor's calibration: offset_pascal, certificate."""
        return dict(shared.found(calibrations, sensor, "sensor"))

    def gain_of(certificate: str) -> dict[str, Any]:
        """What a certificate says: gain (a factor), laboratory."""
        return dict(shared.found(gains, certificate, "certificate"))

    def ambient_of(laboratory: str) -> int:
        """The ambient of a laboratory, in pascal."""
        return shared.found(laboratories, laboratory, "laboratory")

    made: shared.Tools = [list_sensors, readings, calibration_of, gain_of, ambient_of]
    return made[: dials.hops + 1]


def battery_level(sensor: str) -> int:
    """How full a sensor's battery is, in percent."""
    return 40 + len(sensor) * 3


def restart_sensor(sensor: str) -> str:
    """Restart a sensor; returns "restarted"."""
    return "restarted"


def sensor_owner(sensor: str) -> str:
    """Who looks after a sensor."""
    return shared.PEOPLE[len(sensor)]
