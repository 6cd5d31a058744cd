// Sets theme and language before anything is drawn. The address wins over what is remembered.
(function () {
  var address = new URLSearchParams(location.search);
  function remembered(name) {
    try {
      return localStorage.getItem("gatemeter." + name);
    } catch {
      return null;
    }
  }
  var theme = address.get("theme") || remembered("theme");
  if (theme !== "light" && theme !== "dark") {
    theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
  document.documentElement.dataset.mantineColorScheme = theme;
  var language = address.get("lang") || remembered("lang") || navigator.language;
  document.documentElement.lang = language.slice(0, 2) === "zh" ? "zh-CN" : "en";
})();
