#!/bin/sh
# Finds a Chromium for tests/browser, or installs Debian's where this may be done; says what to do where not.
for place in "${WSPRISM_BROWSER:-}" /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome \
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
  [ -n "$place" ] && [ -x "$place" ] && echo "$place" && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq > /dev/null && apt-get install -y -qq --no-install-recommends chromium > /dev/null &&
    [ -x /usr/bin/chromium ] && echo "/usr/bin/chromium, installed" && exit 0
fi
echo "The browser tests need Chromium: apt-get install -y chromium, or let WSPRISM_BROWSER name one." >&2
exit 1
