// Runs before the first paint: a theme that was chosen by hand must not flash in the other one.
(function () {
  try {
    var theme = localStorage.getItem('aldis.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch (_) {
    // No storage: the system's theme.
  }
})();
