// preload: lag histogram + rss per second to stderr
let before = performance.now(), lags: number[] = [];
setInterval(() => { const n = performance.now(); lags.push(n - before - 1); before = n; }, 1).unref();
setInterval(() => { lags.sort((a,b)=>a-b); const q=(p:number)=>lags[Math.floor((lags.length-1)*p)]?.toFixed(1);
 const c = process.cpuUsage();
 process.stderr.write(`LAG n=${lags.length} p50=${q(.5)} p99=${q(.99)} max=${q(1)} rss=${(process.memoryUsage.rss()/1048576).toFixed(0)} cpu=${((c.user+c.system)/1000).toFixed(0)}\n`); lags=[]; }, 1000).unref();
